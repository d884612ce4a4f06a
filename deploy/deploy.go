// Package deploy carries the manifests that ibfabric is deployed with, for the programs
// that apply them themselves.
package deploy

import "embed"

// CRDs are the custom resource definitions, one file each under crds/.
//
//go:embed crds/*.yaml
var CRDs embed.FS

// Admission are the webhook configurations, the policies and the rights that --admission
// needs, in the order to apply them in.
//
//go:embed admission/*.yaml
var Admission embed.FS

// Console are the rights that the console needs, and the roles of those who use it.
//
//go:embed console/*.yaml
var Console embed.FS

// SpiderpoolCRDs is the definition of Spiderpool's kind for clusters without Spiderpool,
// under crds-spiderpool/. It is apart, since it must never replace Spiderpool's own.
//
//go:embed crds-spiderpool/*.yaml
var SpiderpoolCRDs embed.FS
