// Package cli runs the command ibfabric against a real API server, the real controller and
// ufm-sim, as people would.
package cli
