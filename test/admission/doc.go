// Package admission tests the webhooks and the policies of deploy/admission, as they are
// shipped, before a real API server, with the real controller, scheduler and nodes that are
// played. It has no code of its own beside its tests.
package admission
