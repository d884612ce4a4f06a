//go:build linux

package node

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path"

	"k8s.io/client-go/rest"
)

// Identity is how somebody in the node is known to the API server.
type Identity = *rest.Config

// door is where the node reaches the API server, and files: a port of 127.0.0.1, which is
// 10.0.N.2 in the node. It speaks HTTP, since a TLS handshake takes an emulated CPU a second,
// and clients send no password that way: who knows the secret in the path is let in, with
// the rights of one identity.
type door struct {
	listener net.Listener
	server   *http.Server
	secret   string
}

const (
	kubeletDoor = "kubelet"
	multusDoor  = "multus"
)

func openDoor(c Config) (*door, error) {
	d := &door{secret: rand.Text()}
	mux := http.NewServeMux()
	for name, identity := range map[string]Identity{kubeletDoor: c.Kubelet, multusDoor: c.Multus} {
		proxy, err := proxyTo(identity)
		if err != nil {
			return nil, fmt.Errorf("the way of %s to the API server: %w", name, err)
		}
		prefix := "/" + d.secret + "/" + name
		mux.Handle(prefix+"/", http.StripPrefix(prefix, proxy))
	}
	for to, file := range c.files() {
		mux.HandleFunc("/"+d.secret+"/files"+to, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	}
	var err error
	if d.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	d.server = &http.Server{Handler: mux}
	go func() { _ = d.server.Serve(d.listener) }() // until close
	return d, nil
}

// proxyTo hands requests on with an identity. Watches are handed on event by event.
func proxyTo(identity Identity) (http.Handler, error) {
	to, err := url.Parse(identity.Host)
	if err != nil {
		return nil, err
	}
	transport, err := rest.TransportFor(identity)
	if err != nil {
		return nil, err
	}
	return &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport:     transport,
		FlushInterval: -1,
		// A node whose power is cut leaves its requests in the middle.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}, nil
}

// port is 127.0.0.1's.
func (d *door) port() int { return d.listener.Addr().(*net.TCPAddr).Port }

func (d *door) api(gateway, name string) string {
	return fmt.Sprintf("http://%s:%d/%s/%s", gateway, d.port(), d.secret, name)
}

func (d *door) file(gateway, to string) string {
	return fmt.Sprintf("http://%s:%d%s", gateway, d.port(), path.Join("/", d.secret, "files", to))
}

func (d *door) close() { _ = d.server.Close() }
