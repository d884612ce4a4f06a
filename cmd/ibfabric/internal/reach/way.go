package reach

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
)

// Way is a connection to one console, as the user of the kubeconfig.
type Way struct {
	Host      string // of URLs
	Transport http.RoundTripper
	stop      func()
}

// Close ends it.
func (w *Way) Close() { w.stop() }

// Open makes a way to the console of a leader.
func (c *Cluster) Open(ctx context.Context, l Leader, o Options) (*Way, error) {
	cfg, err := c.credentials()
	if err != nil {
		return nil, err
	}
	if cfg.TLSClientConfig, err = trust(cfg.TLSClientConfig, l, o); err != nil {
		return nil, err
	}
	address, stop := o.Address, func() {}
	switch {
	case address != "":
	case l.Console.Pod != "":
		if address, stop, err = c.forward(ctx, l); err != nil {
			return nil, err
		}
	default: // a controller outside of a pod
		address = l.Console.Address
	}
	if address == "" {
		return nil, noConsole(l)
	}
	if o.Address == "" {
		// What proxy the user has is for the cluster, and not for a way of our own.
		cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	t, err := rest.TransportFor(cfg)
	if err != nil {
		stop()
		return nil, fault.New(fault.Failed, "prepare the connection to the console", err)
	}
	return &Way{Host: address, Transport: t, stop: stop}, nil
}

func noConsole(l Leader) error {
	return fault.New(fault.Unreachable, fmt.Sprintf("%s leads fabric %s and serves no console", l.Identity, l.Fabric), nil,
		"# start the controller with --console-address=:8444")
}

// credentials are the user's own, and nothing that is meant for the API server alone.
func (c *Cluster) credentials() (*rest.Config, error) {
	cfg := rest.CopyConfig(c.Config)
	if cfg.Impersonate.UserName != "" {
		return nil, fault.New(fault.Usage, "the console knows you by your own credentials, and the kubeconfig says to act as "+cfg.Impersonate.UserName, nil, "# name a user of the kubeconfig without it: --user")
	}
	cfg.Username, cfg.Password = "", "" // it takes tokens and certificates
	cfg.Host, cfg.Timeout, cfg.Dial, cfg.Proxy = "", 0, nil, nil
	return cfg, nil
}

// trust replaces whom the API server's certificate comes from by whom the console's does.
func trust(from rest.TLSClientConfig, l Leader, o Options) (rest.TLSClientConfig, error) {
	t := rest.TLSClientConfig{
		CertFile: from.CertFile, CertData: from.CertData, KeyFile: from.KeyFile, KeyData: from.KeyData,
		ServerName: l.Console.ServerName, CAData: []byte(l.Console.CABundle),
	}
	if o.ServerName != "" {
		t.ServerName = o.ServerName
	}
	if o.CAFile != "" {
		text, err := os.ReadFile(o.CAFile)
		if err != nil {
			return t, fault.New(fault.Usage, "read --ca", err)
		}
		t.CAData = text
	}
	return t, nil
}

// forward opens a port-forward to the console's pod, and returns where it begins here. Who
// else on this machine finds that port meets TLS and the console's own checks.
func (c *Cluster) forward(ctx context.Context, l Leader) (address string, stop func(), err error) {
	to, err := url.Parse(c.Config.Host)
	if err != nil || to.Host == "" {
		to = &url.URL{Scheme: "https", Host: c.Config.Host}
	}
	to = to.JoinPath("api/v1/namespaces", l.Console.Namespace, "pods", l.Console.Pod, "portforward")
	dialer, err := c.dialer(to)
	if err != nil {
		return "", nil, fault.New(fault.Unreachable, "prepare the port-forward", err)
	}
	end, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	f, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:" + strconv.Itoa(int(l.Console.Port))}, end, ready, io.Discard, io.Discard)
	if err != nil {
		return "", nil, fault.New(fault.Failed, "prepare the port-forward", err)
	}
	go func() { ended <- f.ForwardPorts() }()
	select {
	case <-ctx.Done():
		close(end)
		return "", nil, ctx.Err()
	case err := <-ended:
		return "", nil, forwardError(err, l)
	case <-ready:
	}
	ports, err := f.GetPorts()
	if err != nil || len(ports) == 0 {
		close(end)
		return "", nil, fault.New(fault.Failed, "find the port of the port-forward", err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))), func() { close(end); <-ended }, nil
}

// dialer speaks as kubectl does: by WebSocket, and with older API servers by SPDY.
func (c *Cluster) dialer(to *url.URL) (httpstream.Dialer, error) {
	t, upgrader, err := spdy.RoundTripperFor(c.Config)
	if err != nil {
		return nil, err
	}
	old := spdy.NewDialer(upgrader, &http.Client{Transport: t}, http.MethodPost, to)
	sockets, err := portforward.NewSPDYOverWebsocketDialer(to, c.Config)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialer(sockets, old, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}
