// Package docs reads README.md, docs and the examples' pages as a person would who follows
// them. Commands are run, or carry a mark and are looked at: programs, subcommands, flags,
// values, targets and files must be there. Links must lead somewhere, what is quoted of a
// manifest must be in it, and a message must be one that the code prints.
//
// docs/README.md tells readers what the marks mean.
package docs
