package testbed

import (
	"io"
	"maps"
	"path/filepath"

	"k8s.io/apimachinery/pkg/api/resource"
)

// Option changes what Start and Run bring up.
type Option func(*options)

type options struct {
	scheduler, controllerManager, serviceAccounts bool

	nodes     int
	resources map[string]resource.Quantity // of every node, beyond cpu, memory and pods
	flags     []string                     // more flags for the API server
	managers  []string                     // and for the controller-manager
	log       io.Writer
	logs      string
}

func defaults(dir string) options {
	return options{log: io.Discard, logs: filepath.Join(dir, "logs"), resources: map[string]resource.Quantity{}}
}

// programs lists what has to be there before a start.
func (o options) programs() []string {
	names := []string{"etcd", "kube-apiserver"}
	if o.scheduler {
		names = append(names, "kube-scheduler")
	}
	if o.controllerManager {
		names = append(names, "kube-controller-manager")
	}
	if o.nodes > 0 {
		names = append(names, "kwok")
	}
	return names
}

// WithScheduler runs kube-scheduler.
func WithScheduler() Option { return func(o *options) { o.scheduler = true } }

// WithControllerManager runs kube-controller-manager: garbage collection, namespaces that
// really go away, Deployments and Jobs that make pods.
func WithControllerManager() Option { return func(o *options) { o.controllerManager = true } }

// WithNodes makes n nodes, node-0 to node-<n-1>, and waits until all are Ready. kwok plays
// their kubelets: a pod that the scheduler binds is Running at once, a deleted one gone. The
// controller-manager comes with them, because it alone lifts the taint of a new node.
func WithNodes(n int) Option {
	return func(o *options) { o.nodes, o.controllerManager = n, true }
}

// WithResource gives every node count units of an extended resource, such as
// "nvidia.com/ib_vfs", for the scheduler to count.
func WithResource(name string, count int64) Option {
	return func(o *options) {
		o.resources = maps.Clone(o.resources)
		o.resources[name] = *resource.NewQuantity(count, resource.DecimalSI)
	}
}

// WithServiceAccounts keeps the ServiceAccount admission plugin, which is off by default: with
// it every pod needs its namespace's account, which the controller-manager makes a moment
// after the namespace.
func WithServiceAccounts() Option {
	return func(o *options) { o.serviceAccounts, o.controllerManager = true, true }
}

// WithAPIServerFlags adds flags to kube-apiserver. Of a flag given twice the last counts.
func WithAPIServerFlags(flags ...string) Option {
	return func(o *options) { o.flags = append(o.flags, flags...) }
}

// WithControllerManagerFlags runs kube-controller-manager with more flags.
func WithControllerManagerFlags(flags ...string) Option {
	return func(o *options) { o.managers, o.controllerManager = append(o.managers, flags...), true }
}

// WithLog writes a line to w for each part that comes up, with the seconds it took.
func WithLog(w io.Writer) Option { return func(o *options) { o.log = w } }

func withLogs(dir string) Option { return func(o *options) { o.logs = dir } }
