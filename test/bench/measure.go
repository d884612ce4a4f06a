package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

const emptyPoll = 20 * time.Millisecond

// measure runs one contender through one case, in a world of its own, which it leaves empty.
func measure(ctx context.Context, bed *testbed.Cluster, dir string, c testCase, who contender, number int) (Result, error) {
	ns := fmt.Sprintf("bench-%d", number)
	w, err := newWorld(ctx, bed, c, ns)
	if err != nil {
		return Result{}, err
	}
	defer w.ufm.Close()
	watchCtx, endWatch := context.WithCancel(ctx)
	defer endWatch()
	pods, err := w.record(watchCtx)
	if err != nil {
		return Result{}, err
	}
	p, err := who.startOn(ctx, w, filepath.Join(dir, ns+".log"))
	if err != nil {
		return Result{}, err
	}
	m := &measurement{world: w, who: who, pods: pods, process: p}
	defer func() { end(m.process) }()
	if err := m.run(ctx); err != nil {
		return Result{}, err
	}
	return m.result, nil
}

// measurement is one contender at work in one world.
type measurement struct {
	*world
	who     contender
	pods    *recorder
	process *programs.Process
	result  Result
}

func (m *measurement) run(ctx context.Context) error {
	m.result = Result{Case: m.Name, Title: m.Title, Contender: m.who.name, Pods: m.Pods, OneByOne: m.OneByOne, LimitSeconds: m.who.limit.Seconds()}
	if err := m.come(ctx); err != nil {
		return fmt.Errorf("%s, %s: create pods: %w", m.Title, m.who.name, err)
	}
	if !m.result.Create.Finished {
		end(m.process) // it would go on at the next one's expense
	}
	if m.Rest > 0 && m.result.Create.Finished {
		if err := m.rest(ctx); err != nil {
			return fmt.Errorf("%s, %s: start again: %w", m.Title, m.who.name, err)
		}
	}
	if err := m.goAway(ctx); err != nil {
		return fmt.Errorf("%s, %s: delete pods: %w", m.Title, m.who.name, err)
	}
	end(m.process)
	m.result.CPUSeconds = m.process.CPU().Seconds()
	return nil
}

// come measures pods that come, until all are configured or the limit is over.
func (m *measurement) come(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, m.who.limit+m.pauses())
	defer cancel()
	stop := report(func() string {
		n, _ := m.pods.progress()
		return fmt.Sprintf("%s, %s: %d of %d configured", m.Title, m.who.name, n, m.Pods)
	})
	defer stop()
	m.sim.ResetCalls()
	finished, err := m.create(ctx, limited)
	if err == nil {
		err = ctx.Err()
	}
	m.pods.summarize(&m.result, m.OneByOne)
	m.result.Create.Finished = finished
	m.result.Create.count(m.sim.Calls())
	return err
}

func (m *measurement) create(ctx, limited context.Context) (finished bool, err error) {
	if !m.OneByOne {
		began := time.Now()
		if err := each(ctx, m.Pods, m.createPod); err != nil {
			return false, err
		}
		m.result.CreatingSeconds = time.Since(began).Seconds()
		return m.pods.until(limited, m.Pods, m.process)
	}
	for i := range m.Pods {
		time.Sleep(m.pause(i))
		if err := m.createPod(ctx, i); err != nil {
			return false, err
		}
		if ok, err := m.pods.until(limited, i+1, m.process); err != nil || !ok {
			return false, err
		}
	}
	return true, nil
}

// pause comes before the i-th pod of those one by one. A program that looks every five seconds
// has just looked when it has configured a pod: without pauses each pod would come at the worst
// moment for it. These are spread evenly over its period, in no order.
func (m *measurement) pause(i int) time.Duration {
	return peerPeriod * time.Duration(i*7%m.Pods) / time.Duration(m.Pods)
}

// pauses are no part of the limit.
func (m *measurement) pauses() (sum time.Duration) {
	if m.OneByOne {
		for i := range m.Pods {
			sum += m.pause(i)
		}
	}
	return sum
}

// goAway measures all pods being deleted at once (also those that came one by one), until
// UFM is empty. Of a case that was not finished it only removes the pods.
func (m *measurement) goAway(ctx context.Context) error {
	stop := report(func() string {
		return fmt.Sprintf("%s, %s: deleting, %d GUIDs in UFM", m.Title, m.who.name, m.members())
	})
	defer stop()
	m.sim.ResetCalls()
	began := time.Now()
	if err := each(ctx, m.pods.count(), m.deletePod); err != nil {
		return err
	}
	m.result.DeletingSeconds = time.Since(began).Seconds()
	if !m.result.Create.Finished {
		return nil
	}
	finished, err := m.untilEmpty(ctx, began.Add(m.who.limit))
	m.result.Delete.Finished = finished
	m.result.Delete.count(m.sim.Calls())
	m.result.Delete.Seconds = time.Since(began).Seconds()
	if last := m.lastRemove(); finished && last.After(began) {
		m.result.Delete.Seconds = last.Sub(began).Seconds()
	}
	return err
}

func (m *measurement) untilEmpty(ctx context.Context, deadline time.Time) (bool, error) {
	for m.members() > 0 {
		if time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-m.process.Done():
			return false, m.process.Ended()
		case <-time.After(emptyPoll):
		}
	}
	return true, nil
}

func (m *measurement) lastRemove() time.Time {
	for _, e := range slices.Backward(m.sim.Journal()) {
		if e.Op == ufmsim.OpRemove {
			return e.Changed
		}
	}
	return time.Time{}
}
