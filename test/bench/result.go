package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// Report is what build/bench.json holds.
type Report struct {
	Date        time.Time         `json:"date"`
	Machine     Machine           `json:"machine"`
	Versions    map[string]string `json:"versions"`
	UFMChangeMS int64             `json:"ufm_change_ms"` // changes run one at a time
	Results     []Result          `json:"results"`
	CNI         *CNIReport        `json:"cni,omitempty"`
}

// Machine is where it ran: figures of two machines are no comparison.
type Machine struct {
	CPU    string  `json:"cpu"`
	Cores  int     `json:"cores"`
	System string  `json:"system"`
	Load   float64 `json:"load_before"` // of a minute; well above 0: others were at work
}

// Result is one contender in one case.
type Result struct {
	Case       string `json:"case"`
	Title      string `json:"title"`
	Contender  string `json:"contender"`
	OneByOne   bool   `json:"one_by_one"`
	Pods       int    `json:"pods"`
	Configured int    `json:"configured"`
	// Create.Seconds is from the first pod seen to the last one seen configured; one by
	// one, the median of a pod. Delete.Seconds is from the first deletion until UFM is empty.
	Create Phase `json:"create"`
	Delete Phase `json:"delete"`
	// Of each pod, from being seen to being seen configured.
	P50Seconds      float64 `json:"p50_s"`
	P99Seconds      float64 `json:"p99_s"`
	PatchesPerPod   float64 `json:"patches_per_pod"`
	CreatingSeconds float64 `json:"creating_s"` // what the API server took to make all pods
	DeletingSeconds float64 `json:"deleting_s"`
	LimitSeconds    float64 `json:"limit_s"` // of each phase
	CPUSeconds      float64 `json:"cpu_s"`   // of the contender, both phases and its start
	Rest            *Rest   `json:"rest,omitempty"`
}

// Phase is pods coming or pods going.
type Phase struct {
	Finished bool    `json:"finished"`
	Seconds  float64 `json:"s"`
	Adds     int     `json:"ufm_adds"`
	Removes  int     `json:"ufm_removes"`
	Reads    int     `json:"ufm_reads"`
}

func (p *Phase) count(calls map[ufmsim.Op]int) {
	p.Adds, p.Removes = calls[ufmsim.OpAdd], calls[ufmsim.OpRemove]
	p.Reads = calls[ufmsim.OpList] + calls[ufmsim.OpGet] + calls[ufmsim.OpLastUpdated]
}

func (r Report) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("make a folder for the report: %w", err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
