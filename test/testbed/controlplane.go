package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed/internal/plan"
)

// up starts everything in the order in which each part needs the one before.
func (c *Cluster) up(ctx context.Context) error {
	c.launcher = programs.NewLauncher()
	var err error
	if c.etcdPort, err = reservePort(); err != nil {
		return err
	}
	if c.port, err = reservePort(); err != nil {
		return err
	}
	if err := c.connect(); err != nil {
		return fmt.Errorf("making the administrator's clients: %w", err)
	}
	if err := c.step("etcd", func() error { return c.startEtcd(ctx) }); err != nil {
		return err
	}
	if err := c.step("kube-apiserver", func() error { return c.StartAPIServer(ctx) }); err != nil {
		return err
	}
	if err := c.startClients(); err != nil {
		return err
	}
	if c.opts.nodes == 0 {
		return nil
	}
	return c.step(fmt.Sprintf("%d nodes", c.opts.nodes), func() error { return c.createNodes(ctx) })
}

func (c *Cluster) step(what string, do func() error) error {
	start := time.Now()
	if err := do(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.opts.log, "%s ready in %.1f s\n", what, time.Since(start).Seconds())
	return err
}

func (c *Cluster) startEtcd(ctx context.Context) error {
	url := "http://" + c.etcdPort.address()
	p, err := c.run("etcd",
		"--data-dir="+c.file("etcd"),
		"--listen-client-urls="+url,
		"--advertise-client-urls="+url,
		"--socket-reuse-port", // see port
		// A single member talks to no peer: any port does, and it may change.
		"--listen-peer-urls=http://127.0.0.1:0",
		"--initial-advertise-peer-urls=http://127.0.0.1:0",
		"--initial-cluster=default=http://127.0.0.1:0",
		// It elects itself after the election timeout: half a second with the defaults.
		"--heartbeat-interval=10", "--election-timeout=100",
		"--unsafe-no-fsync", // a test's data need not outlive the machine
		"--log-level=warn",
	)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.etcd = p
	c.mu.Unlock()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return p.ready(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/health", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if body, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", response.Status, body)
		}
		return nil
	})
}

// StartAPIServer starts kube-apiserver again after StopAPIServer, on the same port and data, and
// waits until it is ready.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	p, err := c.run("kube-apiserver", c.apiserverFlags()...)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.apiserver = p
	c.mu.Unlock()
	return p.ready(ctx, c.apiserverReady)
}

// serviceRange is where the addresses of Services come from.
const serviceRange = "10.96.0.0/16"

func (c *Cluster) apiserverFlags() []string {
	flags := []string{
		"--etcd-servers=http://" + c.etcdPort.address(),
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.port.number),
		"--permit-port-sharing", // see port
		"--tls-cert-file=" + c.file(servingCert),
		"--tls-private-key-file=" + c.file(servingKey),
		"--client-ca-file=" + c.file(caFile),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.file(accountKeyFile),
		"--service-account-signing-key-file=" + c.file(accountKeyFile),
		"--service-cluster-ip-range=" + serviceRange,
		"--endpoint-reconciler-type=none", // it would complain of a loopback address for ever
		"--allow-privileged",
		"--event-ttl=15m",
	}
	if !c.opts.serviceAccounts {
		flags = append(flags, "--disable-admission-plugins=ServiceAccount")
	}
	return append(flags, c.opts.flags...)
}

// apiserverReady also waits for the first namespace: the server makes it a moment after it calls
// itself ready, and a test's first pod may be for it.
func (c *Cluster) apiserverReady(ctx context.Context) error {
	if err := c.client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error(); err != nil {
		return err
	}
	_, err := c.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
	return err
}

// startClients starts the API server's clients that were asked for. They serve nothing (port 0),
// so what they do is seen in the API only.
func (c *Cluster) startClients() error {
	common := []string{
		"--kubeconfig=" + c.Kubeconfig(), "--secure-port=0", "--leader-elect=false",
		"--kube-api-qps=1000", "--kube-api-burst=2000", // the defaults would be what a load test measures
	}
	if c.opts.scheduler {
		if _, err := c.run("kube-scheduler", common...); err != nil {
			return err
		}
	}
	if c.opts.controllerManager {
		flags := append(slices.Clone(common), "--service-account-private-key-file="+c.file(accountKeyFile), "--root-ca-file="+c.file(caFile))
		if _, err := c.run("kube-controller-manager", append(flags, c.opts.managers...)...); err != nil {
			return err
		}
	}
	if c.opts.nodes > 0 {
		if _, err := c.run("kwok", "--kubeconfig="+c.Kubeconfig(), "-c", c.bin+"/"+plan.Stages,
			"--manage-nodes-with-annotation-selector="+kwokAnnotation+"=fake",
			"--node-lease-duration-seconds=40",
			"--node-port=0", // no server of its own, which would listen on every address
		); err != nil {
			return err
		}
	}
	return nil
}
