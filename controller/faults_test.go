package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestOfManyFaultsAFewAreToldAndAllAreFound(t *testing.T) {
	missing := &missingNetworkError{types.NamespacedName{Namespace: "ns", Name: "rail"}}
	var many faults
	for i := range 10_000 {
		many = append(many, fmt.Errorf("element %d: write it otherwise", i))
	}
	many = append(many, missing)
	err := fmt.Errorf("pod: %w", many.asError())
	text := err.Error()
	if strings.Count(text, "write it otherwise") != maxFaults || !strings.HasSuffix(text, "and 9998 more like these") {
		t.Errorf("it tells %s", text)
	}
	var found *missingNetworkError
	if !errors.As(err, &found) {
		t.Error("a fault that is not told is not found either")
	}
}

func TestLongFaultsLeaveRoomForTheMendOfTheFirst(t *testing.T) {
	long := errors.New(strings.Repeat("x", 600) + "; write y")
	if text := (faults{long, long}).Error(); len(text) > maxTold || !strings.Contains(text, "write y\nand 1 more") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	if text := (faults{errors.New("a"), errors.New("b")}).Error(); text != "a\nb" {
		t.Errorf("it tells %q", text)
	}
}

func TestNoFaultIsNoError(t *testing.T) {
	var none faults
	if err := none.asError(); err != nil {
		t.Errorf("%v", err)
	}
}
