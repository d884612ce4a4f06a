package controller

import (
	"fmt"
	"strings"
)

const (
	maxFaults = 3   // that are told of one pod
	maxTold   = 900 // bytes, for more than one: the API server takes 1024 in an Event
)

// faults are all that is wrong with the networks of a pod. A tenant can have thousands in
// one annotation: the first few are told and the others counted, so that neither an Event
// nor the log holds a book. errors.As and errors.Is find all of them.
type faults []error

// asError is nil without a fault.
func (f faults) asError() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

func (f faults) Error() string {
	var b strings.Builder
	for i, err := range f {
		text := err.Error()
		if i == maxFaults || i > 0 && b.Len()+len(text) > maxTold {
			fmt.Fprintf(&b, "\nand %d more like these", len(f)-i)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(text)
	}
	return b.String()
}

// Unwrap gives each of them.
func (f faults) Unwrap() []error { return f }
