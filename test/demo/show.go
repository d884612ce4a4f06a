package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	lookEvery     = 200 * time.Millisecond
	progressEvery = 2 * time.Second
)

func isNoMatch(err error) bool { return meta.IsNoMatchError(err) }

// showOnce waits for the whole table, prints it, and empties the fabric again.
func (d *demo) showOnce(ctx context.Context) error {
	began := time.Now()
	var last facts
	err := d.until(ctx, func(f facts) (bool, string) {
		last = f
		rows := f.rows()
		n := configured(rows)
		return n == len(rows) && len(f.Pods) == len(d.pods), fmt.Sprintf("%d of %d interfaces configured", n, len(rows))
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	d.say("")
	d.say("%s", strings.Join(append(lines(last.rows()), last.partitions()), "\n"))
	if err != nil {
		return d.notThere(err, last)
	}
	d.say("all %d interfaces of %d pods configured after %.1f s\n", len(last.rows()), len(last.Pods), time.Since(began).Seconds())
	return d.empty(ctx)
}

// empty deletes the demo's pods and waits until UFM has nobody left.
func (d *demo) empty(ctx context.Context) error {
	d.say("deleting the pods")
	for _, p := range d.cluster.created {
		if p.GetKind() != "Pod" {
			continue
		}
		uid := p.GetUID()
		if err := d.cluster.api.Delete(ctx, p, client.Preconditions{UID: &uid}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete pod %s/%s: %w", p.GetNamespace(), p.GetName(), err)
		}
	}
	var last facts
	err := d.until(ctx, func(f facts) (bool, string) {
		last = f
		return f.partitions() == noMembers, f.partitions()
	})
	if err != nil {
		return fmt.Errorf("members stay in UFM after their pods: %w\n%s\nthe controller's last words:\n%s", err, last.partitions(), d.controller.Tail(15))
	}
	d.emptied = true
	d.say("%s", last.partitions())
	return nil
}

// until looks until cond holds, and says now and then how far it is.
func (d *demo) until(ctx context.Context, cond func(facts) (bool, string)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	next := progressEvery
	for {
		f, err := d.look(ctx)
		state := fmt.Sprint(err) // half of the facts would make a table that is not true
		if err == nil {
			var ok bool
			if ok, state = cond(f); ok {
				return nil
			}
		}
		if err := d.ended(); err != nil {
			return err
		}
		if waited := time.Since(began); waited > next {
			next *= 2
			d.say("waiting: %s (%.0f s)", state, waited.Seconds())
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("not within %s", patience), err)
		case <-time.After(lookEvery):
		}
	}
}

// ended reports a program that should run and does not.
func (d *demo) ended() error {
	return errors.Join(d.sim.Ended(), d.controller.Ended())
}

func (d *demo) notThere(err error, f facts) error {
	var b strings.Builder
	for _, r := range f.rows() {
		if r.Lacks != "" {
			fmt.Fprintf(&b, "%s %s %s\n", r.Pod, r.Interface, r.Lacks)
		}
	}
	for _, p := range d.pods {
		if !slices.ContainsFunc(f.rows(), func(r row) bool { return r.Pod == p.GetNamespace()+"/"+p.GetName() }) {
			fmt.Fprintf(&b, "%s/%s is not in the cluster\n", p.GetNamespace(), p.GetName())
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return fmt.Errorf("the pods are not configured: %w\n%s%sthe controller's last words:\n%s", err, b.String(), d.why(ctx), d.controller.Tail(15))
}

// showLive keeps the table on the screen until the context ends, or writes it whenever
// it has changed where there is no screen.
func (d *demo) showLive(ctx context.Context) error {
	s := &screen{out: d.out, fd: int(d.out.Fd())}
	s.live = term.IsTerminal(s.fd)
	var last facts
	for {
		f, err := d.look(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ended := d.ended(); ended != nil {
			return ended
		}
		if err == nil {
			last = f
		}
		rows := last.rows()
		foot := fmt.Sprintf("%s; %d of %d interfaces configured", last.partitions(), configured(rows), len(rows))
		if err != nil {
			foot = "the table is old: " + err.Error()
		}
		s.show(lines(rows), foot)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

// sayWhere tells whoever watches what to play with.
func (d *demo) sayWhere() {
	d.say(`
in another terminal, for instance:
  export KUBECONFIG=%s
  kubectl delete pod -n team-a train-1
  kubectl create -f deploy/examples/infiniband/21-train-1.yaml
  tail -f %s
  curl --cacert %s -u %s:%s 'https://localhost:%s/ufmRest/resources/pkeys?guids_data=true'
Ctrl-C ends the demo and takes everything away.
`, d.cluster.kubeconfig, d.controller.Log(), d.sim.certFile, simUser, simPassword, d.sim.port)
}
