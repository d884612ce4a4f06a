// Package takeover holds the tests that put ibfabric in the place of the real
// ib-kubernetes, and back, against a real API server and a UFM simulator.
package takeover
