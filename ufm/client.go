// Package ufm is a client of the REST API of NVIDIA UFM Enterprise, as far as partitions
// of an InfiniBand fabric go: who is in which, putting in, taking out, their quality of
// service. Every quirk of UFM that ibfabric knows of ends in this package.
//
// A Client talks to one UFM, which may have several addresses. Each method makes at most
// one pass over them and says which one answered: a read by another address than the one
// that took a write may be older than that write.
package ufm

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// Config says where UFM is and how to talk to it.
type Config struct {
	// Addresses are host or host:port, the preferred one first; see ParseAddresses.
	Addresses []string
	// Scheme is https, or http for a UFM behind something that ends TLS. The zero value
	// is https. Over http the credentials go in the clear.
	Scheme string
	// Port is for addresses without one. 0 is 443, or 80 for http.
	Port int
	// Credentials is where user, password, token and certificates come from.
	Credentials Source
	// Timeout bounds one request at one address, its quick retries among it. 0 is 30 s.
	Timeout time.Duration
	// SkipVerify takes any certificate, from anybody: whoever is on the way to UFM can
	// then read the credentials and repartition the fabric. It is meant for a laboratory.
	// A UFM with a self-signed certificate needs UFM_CERTIFICATE instead.
	SkipVerify bool
	// RetryWait is the pause before a quick retry at the only address. 0 is 200 ms.
	RetryWait time.Duration
	// Log gets one debug line a request, and a warning when something is odd. nil: none.
	Log *zap.Logger
}

// Client is one UFM. It is safe for concurrent use and has no goroutine of its own.
type Client struct {
	log       *zap.Logger
	timeout   time.Duration
	endpoints []endpoint
	current   atomic.Int64 // index of the endpoint that last answered
	keys      *keyring
	maxAnswer int64 // bytes

	oddMu sync.Mutex
	odd   map[string]oddities // by path: what was already complained about
}

const (
	defaultTimeout   = 30 * time.Second
	defaultRetryWait = 200 * time.Millisecond
	// A member takes about 70 bytes of JSON: this is a million of them.
	maxAnswer = 64 << 20
)

// New makes a client. It reads the credentials but does not call UFM: one that is away
// now must not keep a program from starting.
func New(cfg Config) (*Client, error) {
	cfg.Scheme = strings.ToLower(cmp.Or(cfg.Scheme, "https"))
	cfg.Timeout = cmp.Or(cfg.Timeout, defaultTimeout)
	cfg.RetryWait = cmp.Or(cfg.RetryWait, defaultRetryWait)
	if cfg.Log == nil {
		cfg.Log = zap.NewNop()
	}
	if cfg.Scheme != "https" && cfg.Scheme != "http" {
		return nil, fmt.Errorf("ufm: UFM_HTTP_SCHEMA %q: write https or http", clip(cfg.Scheme))
	}
	if cfg.Credentials == nil {
		return nil, fmt.Errorf("ufm: %w", errNoCredentials)
	}
	if cfg.Timeout < 0 || cfg.RetryWait < 0 {
		return nil, errors.New("ufm: a timeout must not be negative")
	}
	endpoints, err := parseEndpoints(cfg)
	if err != nil {
		return nil, fmt.Errorf("ufm: %w", err)
	}
	keys, err := newKeyring(cfg, endpoints)
	if err != nil {
		return nil, fmt.Errorf("ufm: %w", err)
	}
	warnOfRisks(cfg)
	return &Client{
		log: cfg.Log, timeout: cfg.Timeout, endpoints: endpoints,
		keys: keys, maxAnswer: maxAnswer, odd: map[string]oddities{},
	}, nil
}

func warnOfRisks(cfg Config) {
	if cfg.Scheme == "http" {
		cfg.Log.Warn("ufm is called without TLS: the credentials go in the clear; set UFM_HTTP_SCHEMA to https")
	} else if cfg.SkipVerify {
		cfg.Log.Warn("ufm's certificate is not verified: whoever is on the way can read the credentials; give UFM_CERTIFICATE instead")
	}
}

// Address is the address in use now: the one that last answered, as Config spelled it.
func (c *Client) Address() string { return c.endpoints[c.current.Load()].name }

// Close lets go of idle connections. Requests under way are not disturbed.
func (c *Client) Close() { c.keys.close() }

// String names the client without opening it: a Client that is printed shows no secret.
func (c *Client) String() string { return "ufm at " + c.Address() }
