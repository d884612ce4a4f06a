package txn

import (
	"context"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/ibfabric/ibfabric/cni/host/hostfake"
	"github.com/ibfabric/ibfabric/cni/record"
)

// world is a node whose state is a set of words; step x puts x into it.
type world struct {
	*Engine
	t      *testing.T
	kernel *hostfake.Kernel
	state  map[string]bool
	fail   map[string]error // by "do x" and "undo x"
	done   []string
}

var steps = []string{"a", "b", "address"}

func newWorld(t *testing.T) *world {
	w := &world{t: t, kernel: hostfake.New(hostfake.Options{}), state: map[string]bool{}, fail: map[string]error{}}
	w.Engine = &Engine{
		Store: record.NewStore(t.TempDir()), Node: w.kernel, Log: zap.NewNop(),
		Steps: func(*record.Record) []Step { return w.steps() }, UndoTime: time.Minute,
	}
	return w
}

func (w *world) steps() []Step {
	var list []Step
	for _, name := range steps {
		list = append(list, Step{
			Name: name, OnDisk: name == "address",
			Do:   func(context.Context) error { return w.act("do "+name, func() { w.state[name] = true }) },
			Undo: func(context.Context) error { return w.act("undo "+name, func() { delete(w.state, name) }) },
		})
	}
	return list
}

// act changes the state by half before it fails, as real steps do.
func (w *world) act(what string, f func()) error {
	w.done = append(w.done, what)
	if err := w.fail[what]; err != nil {
		if what[0] == 'd' {
			f()
		}
		return err
	}
	f()
	return nil
}

func (w *world) record(container string) *record.Record {
	ns := w.kernel.NewNetNS(container)
	return &record.Record{ContainerID: container, IfName: "net1", Device: "0000:17:00.2", NetNS: string(ns)}
}

func (w *world) records() []*record.Record {
	w.t.Helper()
	all, err := w.Store.All()
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func (w *world) clean() {
	w.t.Helper()
	if len(w.state) != 0 || len(w.records()) != 0 {
		w.t.Errorf("left behind: state %v, records %v", w.state, w.records())
	}
}
