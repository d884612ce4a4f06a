package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/ufm"
)

// patience bounds each thing that is waited for. A quiet machine needs a second or two.
const patience = 2 * time.Minute

// namespace is where the demo's controller keeps its lease and its ledger. One of its own
// goes with all that is in it.
const namespace = "ibfabric-demo"

// example is the label of what deploy/examples applies. The controller is told to serve
// networks with it and no other: in a cluster that others use, theirs stay theirs.
const exampleKey, exampleValue = "ibfabric.io/example", "infiniband"

type demo struct {
	options
	dir string

	cluster    *cluster
	ufm        *ufm.Client
	sim        *simulator
	launcher   *programs.Launcher
	controller *programs.Process
	pods       []*unstructured.Unstructured
	emptied    bool // the pods are deleted, and UFM was seen without members
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// run brings everything up, top to bottom, and shows it.
func (d *demo) run(ctx context.Context) (err error) {
	if d.cluster, err = d.openCluster(ctx); err != nil {
		return err
	}
	if d.sim, err = startSimulator(ctx, d.launcher, d.bin, d.dir); err != nil {
		return err
	}
	if d.ufm, err = d.sim.client(); err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if err := d.startController(); err != nil {
		return err
	}
	if err := d.applyExamples(ctx); err != nil {
		return err
	}
	if d.once {
		return d.showOnce(ctx)
	}
	d.sayWhere()
	return d.showLive(ctx)
}

// prepare makes what the examples and the controller take for granted.
func (d *demo) prepare(ctx context.Context) error {
	own, err := readManifests(
		filepath.Join(d.root, "test/testbed/networkattachment.yaml"), // Multus installs this one elsewhere
		filepath.Join(d.root, "deploy/crds/*.yaml"))
	if err != nil {
		return err
	}
	ns := &unstructured.Unstructured{}
	ns.SetAPIVersion("v1")
	ns.SetKind("Namespace")
	ns.SetName(namespace)
	return d.cluster.create(ctx, append(own, ns))
}

func (d *demo) startController() (err error) {
	d.controller, err = d.launcher.Start(programs.Command{
		Program: filepath.Join(d.bin, "ibfabric-controller"),
		Args: []string{
			"--namespace=" + namespace, "--network-selector=" + exampleKey + "=" + exampleValue,
			"--health-address=0", "--console-address=0", "--install-crds=" + fmt.Sprint(d.cluster.bed != nil),
		},
		Env: []string{
			"KUBECONFIG=" + d.cluster.kubeconfig,
			"UFM_ADDRESS=" + d.sim.host, "UFM_PORT=" + d.sim.port,
			"UFM_USERNAME=" + simUser, "UFM_PASSWORD=" + simPassword, "UFM_CERTIFICATE=" + d.sim.certificate,
		},
		Log: filepath.Join(d.dir, "ibfabric-controller.log"),
	})
	if err != nil {
		return fmt.Errorf("%w; `make build` makes it", err)
	}
	d.say("ibfabric-controller runs, log in %s", d.controller.Log())
	return nil
}

func (d *demo) applyExamples(ctx context.Context) error {
	all, err := readManifests(filepath.Join(d.root, "deploy/examples/infiniband/*.yaml"))
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.GetKind() == "Pod" {
			d.pods = append(d.pods, o)
		}
	}
	if err := d.cluster.create(ctx, all); err != nil {
		return err
	}
	d.say("applied deploy/examples/infiniband: %d objects, of them %d pods", len(all), len(d.pods))
	return nil
}

// cleanUp takes away whatever is there by now. In somebody's cluster that is what the
// demo made, and the controller stays until UFM is empty; a cluster of our own just ends.
func (d *demo) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	foreign := d.cluster != nil && d.cluster.bed == nil
	if foreign && !d.emptied && d.controller != nil && d.controller.Ended() == nil {
		errs = append(errs, d.empty(ctx))
	}
	errs = append(errs, d.controller.Stop(programs.StopWithin), d.sim.stop())
	if d.ufm != nil {
		d.ufm.Close()
	}
	if foreign {
		errs = append(errs, d.cluster.deleteCreated(ctx, d.say))
	}
	d.cluster.stop()
	return errors.Join(errs...)
}
