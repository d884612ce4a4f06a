// Package compat holds ibfabric against the programs that stand beside it in a cluster: the
// real ones, at exact versions, where they can be built here. Multus calls our plugins over a
// fake kernel by what the controller wrote to a real API server; NADs are rendered by the
// operator's own code; addresses come from real IPAM plugins.
//
// docs/compatibility.md is written from a run: go test ./test/compat -update
package compat
