// Package deploy carries the manifests that ibfabric is deployed with, for the programs
// that apply them themselves.
package deploy

import "embed"

// CRDs are the custom resource definitions, one file each under crds/.
//
//go:embed crds/*.yaml
var CRDs embed.FS
