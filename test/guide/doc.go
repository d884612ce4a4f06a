// Package guide follows Spiderpool's guide for AI clusters with SR-IOV, as users do: what
// it has them apply is in testdata/guide, with its mistakes, and applied to a real API
// server. For each of the 17 mistakes that are known, a test shows that it works here or
// is refused with the mend. The examples in deploy/examples that do the same without mistakes are
// applied too.
package guide
