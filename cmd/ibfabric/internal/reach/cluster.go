// Package reach finds the cluster as kubectl does, in it the controller that leads a
// fabric, and a way to that one's console.
//
// Whoever leads says in the head of the fabric's journal where its console is and which CA
// it goes by. The way there is a port-forward to its pod, with TLS from end to end: neither
// the API server nor the node sees what is said, and the user's own credentials go to the
// holder of that certificate alone.
package reach

import (
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/controller"
)

// Options say which cluster, which fabric, and how to get there.
type Options struct {
	Kubeconfig string
	Overrides  clientcmd.ConfigOverrides

	Fabric    string // "" is the only one that there is
	Namespace string // of the controller; "" is wherever there is one
	// Address is a console that is reached directly, as host:port; CAFile is who signed its
	// certificate, and ServerName is in it. What is not given comes from the journal.
	Address    string
	CAFile     string
	ServerName string
}

// Bind adds kubectl's flags and our own. Flags that take a token or a password are left out:
// every user of the machine reads the arguments of a program.
func (o *Options) Bind(flags *pflag.FlagSet) {
	flags.StringVar(&o.Kubeconfig, "kubeconfig", "", "kubeconfig `file` (default $KUBECONFIG, else ~/.kube/config)")
	clientcmd.BindOverrideFlags(&o.Overrides, flags, clientcmd.ConfigOverrideFlags{
		CurrentContext: clientcmd.FlagInfo{LongName: clientcmd.FlagContext, Description: "`context` of the kubeconfig"},
		ContextOverrideFlags: clientcmd.ContextOverrideFlags{
			ClusterName:  clientcmd.FlagInfo{LongName: clientcmd.FlagClusterName, Description: "`cluster` of the kubeconfig"},
			AuthInfoName: clientcmd.FlagInfo{LongName: clientcmd.FlagAuthInfoName, Description: "`user` of the kubeconfig"},
			Namespace:    clientcmd.FlagInfo{LongName: clientcmd.FlagNamespace, ShortName: "n", Description: "`namespace` of pods"},
		},
		Timeout: clientcmd.FlagInfo{LongName: clientcmd.FlagTimeout, Default: "0", Description: "longest `time` for one request to the cluster, as 10s (0: no limit)"},
	})
	flags.StringVar(&o.Fabric, "fabric", "", "`name` of the fabric (default: the only one)")
	flags.StringVar(&o.Namespace, "controller-namespace", "", "`namespace` of the controller (default: wherever it is)")
	flags.StringVar(&o.Address, "address", "", "`host:port` of the leader's console, to reach it without a port-forward")
	flags.StringVar(&o.CAFile, "ca", "", "`file` with the CA of the console's certificate (default: as the journal says)")
	flags.StringVar(&o.ServerName, "server-name", "", "`name` in the console's certificate (default: as the journal says)")
}

// Cluster is the cluster and who we are in it.
type Cluster struct {
	Config *rest.Config
	API    client.Client
	// Namespace is that of -n, else of the context. Said is whether -n was given.
	Namespace string
	Said      bool
}

// Cluster reads the kubeconfig.
func (o *Options) Cluster() (*Cluster, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.Kubeconfig
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &o.Overrides)
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, fault.New(fault.Unreachable, "find the cluster", err, "give --kubeconfig, or set KUBECONFIG to a file that is there; kubectl config get-contexts lists what is in it")
	}
	cfg.QPS, cfg.UserAgent = -1, "ibfabric"
	c := &Cluster{Config: cfg, Said: o.Overrides.Context.Namespace != ""}
	if c.Namespace, _, err = loader.Namespace(); err != nil {
		return nil, fault.New(fault.Usage, "find the namespace", err)
	}
	scheme, err := controller.Scheme()
	if err != nil {
		return nil, fmt.Errorf("build the scheme: %w", err)
	}
	if c.API, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		return nil, fault.New(fault.Unreachable, "reach the cluster", err, "kubectl version says whether kubectl does")
	}
	return c, nil
}
