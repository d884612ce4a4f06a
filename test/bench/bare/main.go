// Command bare is the floor that the benchmark compares with: the UFM calls and the patches
// that any program must make for a set of pods, and nothing around them.
//
// It watches the pods of one namespace and numbers their interfaces. One call to UFM is under
// way at a time; all that comes for a PKey while UFM is busy goes into that PKey's next call,
// and the PKey that waits longest is next. A pod whose interfaces all stand in UFM gets one
// JSON patch (on the uid and annotation it was seen with) by one of 16 workers. Interfaces of
// pods that go are removed in the same way.
//
// It does not elect a leader, keep a ledger, read UFM, check what a namespace may do, retry,
// or follow a pod or a network that changes: an error ends it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/ufm"
)

const patchWorkers = 16 // as many as the controller's --pod-workers

func main() {
	namespace := flag.String("namespace", "", "`namespace` whose pods are served")
	networks := flag.String("networks", "", "networks and their PKeys, as `rail0=0x100,rail1=0x101`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *namespace, *networks); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "bare:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, namespace, networks string) error {
	pkeys, err := parseNetworks(networks)
	if err != nil {
		return err
	}
	fabric, err := openUFM()
	if err != nil {
		return err
	}
	defer fabric.Close()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return fmt.Errorf("read KUBECONFIG: %w", err)
	}
	config.QPS, config.ContentType = -1, "application/vnd.kubernetes.protobuf"
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reach the cluster: %w", err)
	}
	l := &loop{pkeys: pkeys, fabric: fabric, pods: api.CoreV1().Pods(namespace), queue: newQueue()}
	return l.run(ctx)
}

func parseNetworks(text string) (map[string]pkey.PKey, error) {
	pkeys := map[string]pkey.PKey{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		p, err := pkey.Parse(value)
		if err != nil {
			return nil, fmt.Errorf("-networks: %s: %w", part, err)
		}
		pkeys[name] = p
	}
	return pkeys, nil
}

func openUFM() (*ufm.Client, error) {
	port, err := strconv.Atoi(os.Getenv("UFM_PORT"))
	if err != nil {
		return nil, fmt.Errorf("UFM_PORT: %w", err)
	}
	return ufm.New(ufm.Config{
		Addresses:   []string{os.Getenv("UFM_ADDRESS")},
		Port:        port,
		Credentials: ufm.Static(ufm.CredentialsFrom(os.Getenv)),
		Timeout:     30 * time.Second,
	})
}
