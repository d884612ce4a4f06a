//go:build linux

package cni

import (
	"cmp"
	"os"
	"regexp"
	"strings"
)

// needReal are the stories that a real kernel is needed for: which netdev and RDMA device
// there are after a rebind, a move and a namespace's end, and under what names. The others
// turn on records, files and configurations, and the fake kernel shows as much in seconds;
// RUN=. plays them all.
func needReal() string {
	names := []string{
		"ADD gives a pod its VF and DEL takes it back",
		"ADD does not rebind a VF that has its GUID",
		"IPoIB netdevs are made for further PKeys",
		"many ADDs at once do not disturb each other",
		"an RDMA device has its own name again",
		"a RoCE VF is set up as its network says, and put back",
		"many ADDs of RoCE VFs at once do not disturb each other",
		"gc of the node needs no list",
		"defect 8, the netdev of a moved RDMA device turns up elsewhere: the pod has it on any kernel",
		"an ADD killed anywhere is put right by DEL: ib-sriov",
	}
	for _, life := range []string{"DEL finds what a pod has renamed", "DEL does without the namespace", "DEL leaves what is home already"} {
		for _, kind := range []string{"ib-sriov", "sriov", "sriov and rdma, chained"} {
			names = append(names, life+": "+kind)
		}
	}
	for _, f := range facts() {
		names = append(names, f.name)
	}
	for i, name := range names {
		names[i] = regexp.QuoteMeta(name)
	}
	return "^(" + strings.Join(names, "|") + ")$"
}

// Names of environment variables that tell the guest what to play, as regular expressions.
const (
	storiesWanted = "IBFABRIC_LAB_STORIES" // facts and stories
	pluginsWanted = "IBFABRIC_LAB_PLUGINS" // plugins, their types and stories
)

// selection is what `make lab` plays: RUN=regexp wherever it matches, else what is chosen,
// and with PEERS=1 all stories of plugins as programs.
func selection() []string {
	run := os.Getenv("IBFABRIC_LAB_RUN")
	programs := "ADD gives a pod its device"
	if os.Getenv("IBFABRIC_LAB_PEERS") != "" {
		programs = "."
	}
	return []string{storiesWanted + "=" + cmp.Or(run, needReal()), pluginsWanted + "=" + cmp.Or(run, programs)}
}

// wanted is for the guest.
func wanted(variable, name string) bool {
	return regexp.MustCompile(os.Getenv(variable)).MatchString(name)
}
