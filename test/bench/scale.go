package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// Rest is a contender that has configured its pods, is started again, and has nothing to do.
type Rest struct {
	MemoryMiB      float64 `json:"memory_mib"`      // the most that either process held, resident
	RestartSeconds float64 `json:"restart_s"`       // from leading to having adopted all there is
	IdleSeconds    float64 `json:"idle_s"`          // how long it was watched with nothing to do
	APIWrites      int     `json:"idle_api_writes"` // by anybody, leases left out
	UFMReads       int     `json:"idle_ufm_reads"`  // lists of all partitions
	UFMCalls       int     `json:"idle_ufm_calls"`  // anything else that UFM was asked
	LogLines       int     `json:"idle_log_lines"`  //
	UFMChanges     int     `json:"restart_changes"` // that the new process made in UFM
	Repatched      int     `json:"restart_patches"` // pods that it patched again
}

// rest lets the controller go and start again with all pods in place, and then watches it
// do nothing.
func (m *measurement) rest(ctx context.Context) error {
	r := &Rest{MemoryMiB: peakMemory(m.process)}
	end(m.process)
	m.sim.ResetCalls()
	patches := m.pods.patches()
	again, err := m.who.launch(m.world, m.process.Log()+".again")
	if err != nil {
		return err
	}
	m.process = again
	if err := says(ctx, again, "leader.elected"); err != nil {
		return err
	}
	began := time.Now()
	if err := says(ctx, again, "leader.adopted"); err != nil {
		return err
	}
	r.RestartSeconds = time.Since(began).Seconds()
	if err := m.idle(ctx, r); err != nil {
		return err
	}
	calls := m.sim.Calls()
	r.UFMChanges = calls[ufmsim.OpAdd] + calls[ufmsim.OpRemove]
	r.Repatched = m.pods.patches() - patches
	r.MemoryMiB = max(r.MemoryMiB, peakMemory(again))
	m.result.Rest = r
	return nil
}

// settle is what a new leader has to finish before it has nothing to do: the ledger's shards
// are written once under its name, and every pod is looked at.
const settle = 40 * time.Second

func (m *measurement) idle(ctx context.Context, r *Rest) error {
	stop := report(func() string { return fmt.Sprintf("%s, %s: nothing to do", m.Title, m.who.name) })
	defer stop()
	if err := pause(ctx, settle); err != nil {
		return err
	}
	writes, lines, calls := 0, 0, map[ufmsim.Op]int{}
	count := func(sign int) error {
		n, err := m.apiWrites(ctx)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(m.process.Log())
		if err != nil {
			return fmt.Errorf("count the log's lines: %w", err)
		}
		writes += sign * n
		lines += sign * bytes.Count(text, []byte("\n"))
		for op, n := range m.sim.Calls() {
			calls[op] += sign * n
		}
		return nil
	}
	began := time.Now()
	if err := count(-1); err != nil {
		return err
	}
	if err := pause(ctx, m.Rest); err != nil {
		return err
	}
	if err := count(+1); err != nil {
		return err
	}
	r.IdleSeconds, r.APIWrites, r.LogLines, r.UFMReads = time.Since(began).Seconds(), writes, lines, calls[ufmsim.OpList]
	for op, n := range calls {
		if op != ufmsim.OpList {
			r.UFMCalls += n
		}
	}
	return nil
}

// apiWrites is how many requests the API server took so far that write anything but leases.
func (m *measurement) apiWrites(ctx context.Context) (sum int, err error) {
	text, err := m.api.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the API server's metrics: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "apiserver_request_total{") || strings.Contains(line, `resource="leases"`) {
			continue
		}
		for _, verb := range []string{"POST", "PUT", "PATCH", "APPLY", "DELETE"} {
			if !strings.Contains(line, `verb="`+verb+`"`) {
				continue
			}
			n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' ')+1:]), 64)
			if err != nil {
				return 0, fmt.Errorf("the API server's metrics: %q: %w", line, err)
			}
			sum += int(n)
		}
	}
	return sum, nil
}

// peakMemory is the most memory that a running program held, resident, in MiB; 0 where the
// system does not tell.
func peakMemory(p *programs.Process) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, _ := strconv.ParseFloat(fields[1], 64) // the kernel writes a number
			return kib / 1024
		}
	}
	return 0
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// rests are the lines below the table: what is no comparison, but a figure of its own.
func (r Report) rests() string {
	var b strings.Builder
	for _, res := range r.Results {
		if rest := res.Rest; rest != nil {
			fmt.Fprintf(&b, "\n%s, %s: %.0f MiB at most; started again, %s from leading to adopted, %d changes in UFM, %d pods patched;\n"+
				"idle for %.0f s: %d API writes beside the leases, %d full reads of UFM, %d other calls, %d log lines\n",
				res.Title, res.Contender, rest.MemoryMiB, seconds(rest.RestartSeconds), rest.UFMChanges, rest.Repatched,
				rest.IdleSeconds, rest.APIWrites, rest.UFMReads, rest.UFMCalls, rest.LogLines)
		}
	}
	return b.String()
}
