package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
)

// CNIReport is the case cni.
type CNIReport struct {
	AtOnce  int         `json:"at_once"` // ADDs
	Rounds  int         `json:"rounds"`
	Results []CNIResult `json:"results"`
}

// CNIResult is how long ADDs took, or the writing of their records alone.
type CNIResult struct {
	What    string  `json:"what"`    // ADD, or records alone
	Records string  `json:"records"` // memory or disk
	Calls   int     `json:"calls"`
	P50MS   float64 `json:"p50_ms"`
	P99MS   float64 `json:"p99_ms"`
}

const recordsAlone = "records alone"

// cniBarMS is what an ADD may take of the plugin's own time. The records in memory cost
// next to nothing, so that row is the plugin; the rest of the row with the disk is fsync.
const cniBarMS = 20

func (r *CNIReport) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CNI: ADD of ib-sriov without IPAM and without a rebind over a fake kernel, %d at once, %d rounds; the plugin's own time is to be under %d ms\n\n", r.AtOnce, r.Rounds, cniBarMS)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RECORDS IN\tWHAT\tMEDIAN\tP99")
	for _, res := range r.Results {
		fmt.Fprintf(w, "%s\t%s\t%.1f ms\t%.1f ms\n", res.Records, res.What, res.P50MS, res.P99MS)
	}
	w.Flush() // a strings.Builder takes everything
	return b.String()
}
