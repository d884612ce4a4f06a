package main

import (
	"flag"
	"testing"

	"github.com/ibfabric/ibfabric/cmd/internal/reference"
)

var update = flag.Bool("update", false, "write the part of docs/configuration.md on ufm-sim anew")

func TestTheReferenceOfFlagsIsAsTheProgramHasThem(t *testing.T) {
	fs, _, _ := flags()
	variables := map[string]string{
		"username": "UFM_USERNAME", "password": "UFM_PASSWORD", "token": "UFM_TOKEN", "control-token": "UFM_SIM_CONTROL_TOKEN",
	}
	reference.Keep(t, "ufm-sim", reference.Table(fs, func(name string) string { return variables[name] }), *update)
}
