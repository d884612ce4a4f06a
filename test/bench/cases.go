package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/pkey"
)

// testCase is a set of pods that come and then go.
type testCase struct {
	Name       string // for -only
	Title      string
	Pods       int
	Interfaces int // of each pod
	Networks   int // each with a PKey of its own
	OneByOne   bool
	NoPeer     bool          // what would take ib-kubernetes too long to be worth it
	OnlyOurs   bool          // what the bare loop is no measure for
	CNI        bool          // no pods at all, but ADDs of the CNI; see measureCNI
	Rest       time.Duration // how long it is watched with all pods in place; 0: not at all
}

const cniCase = "cni"

func cases(quick bool) []testCase {
	all := []testCase{
		{Name: "one", Title: "one pod at a time", Pods: 20, Interfaces: 1, Networks: 1, OneByOne: true},
		{Name: "bulk", Title: "1,000 pods, 10 PKeys", Pods: 1000, Interfaces: 1, Networks: 10},
		{Name: "rails", Title: "100 pods x 8 networks", Pods: 100, Interfaces: 8, Networks: 8},
		{Name: "vfs", Title: "20 pods x 8 VFs", Pods: 20, Interfaces: 8, Networks: 1},
		{Name: "huge", Title: "10,000 pods, 10 PKeys", Pods: 10000, Interfaces: 1, Networks: 10, NoPeer: true},
		{Name: "scale", Title: "50,000 pods, 50 PKeys", Pods: 50000, Interfaces: 1, Networks: 50, NoPeer: true, OnlyOurs: true, Rest: 5 * time.Minute},
		{Name: cniCase, Title: "ADDs of the CNI", CNI: true},
	}
	if !quick {
		return all
	}
	for i, c := range all {
		if c.CNI {
			continue
		}
		fewer := max(5, c.Pods/10)
		all[i].Title = fmt.Sprintf("%s (quick: %d)", c.Name, fewer)
		all[i].Pods, all[i].Rest = fewer, c.Rest/5
	}
	return all
}

// choose keeps the cases that -only names, all when it names none.
func choose(all []testCase, only string) ([]testCase, error) {
	if only == "" {
		return all, nil
	}
	var chosen []testCase
	for name := range strings.SplitSeq(only, ",") {
		before := len(chosen)
		for _, c := range all {
			if c.Name == name {
				chosen = append(chosen, c)
			}
		}
		if len(chosen) == before {
			return nil, fmt.Errorf("-only: no case %q; there are %s", name, names(all))
		}
	}
	return chosen, nil
}

func names(all []testCase) string {
	var list []string
	for _, c := range all {
		list = append(list, c.Name)
	}
	return strings.Join(list, ", ")
}

const firstPKey = pkey.PKey(0x100)

// network names the n-th network of a case and its PKey.
func network(n int) (string, pkey.PKey) {
	return fmt.Sprintf("rail%d", n), firstPKey + pkey.PKey(n)
}

// annotation is the networks of the i-th pod: all of the case in turn.
func (c testCase) annotation(i int) string {
	var list []string
	for j := range c.Interfaces {
		name, _ := network((i + j) % c.Networks)
		list = append(list, name)
	}
	return strings.Join(list, ",")
}
