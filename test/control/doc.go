// Package control tests the real controller program against a real API server and a UFM
// simulator over TLS. It has no code of its own beside its tests.
package control
