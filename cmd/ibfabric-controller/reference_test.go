package main

import (
	"flag"
	"testing"

	"github.com/ibfabric/ibfabric/cmd/internal/reference"
)

var update = flag.Bool("update", false, "write the controller's part of docs/configuration.md anew")

func TestTheReferenceOfFlagsIsAsTheProgramHasThem(t *testing.T) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	(&settings{}).flags(fs, &texts{})
	table := reference.Table(fs, func(name string) string {
		if name == "version" { // which is no setting
			return ""
		}
		return envOf(name)
	})
	reference.Keep(t, "controller", table, *update)
}
