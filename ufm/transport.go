package ufm

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-retryablehttp"
)

const (
	// A fabric's management network is near; an address that does not pick up by then is
	// dead, and the next one is waiting.
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	// idleTimeout is below the five seconds after which Apache, which stands before UFM,
	// hangs up (KeepAliveTimeout). A change sent into a connection that is just being
	// closed has an unknown outcome, for nothing.
	idleTimeout = 4 * time.Second
	retries     = 2
	retryMax    = time.Second
)

// newHTTPClient makes the client for one address. No proxy is asked: the credentials go to
// UFM and to nobody that merely an environment variable names.
func newHTTPClient(cfg Config, t *tls.Config, only bool) *retryablehttp.Client {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: min(dialTimeout, cfg.Timeout)}).DialContext,
		TLSClientConfig:     t,
		TLSHandshakeTimeout: min(handshakeTimeout, cfg.Timeout),
		IdleConnTimeout:     idleTimeout,
		MaxIdleConnsPerHost: 4,
		Protocols:           new(http.Protocols),
	}
	transport.Protocols.SetHTTP1(true) // all that UFM speaks
	client := retryablehttp.NewClient()
	client.Logger = nil
	client.HTTPClient = &http.Client{
		Transport: transport,
		// A redirect would turn a POST into a GET and its 200 into a success.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	client.CheckRetry = shouldRetry
	client.Backoff = func(low, high time.Duration, n int, resp *http.Response) time.Duration {
		return min(high, retryablehttp.DefaultBackoff(low, high, n, resp)) // Retry-After may say hours
	}
	client.RetryWaitMin, client.RetryWaitMax = cfg.RetryWait, max(retryMax, cfg.RetryWait)
	client.ErrorHandler = retryablehttp.PassthroughErrorHandler
	client.RetryMax = retries
	if !only {
		client.RetryMax = 0 // the next address is the retry
	}
	return client
}

// shouldRetry is for short troubles: UFM restarting, a connection that broke. A change is
// sent again only when it never left. What came of the last try is told by its own answer
// or error, never by one from here: an answer that arrived counts, however late it is.
func shouldRetry(ctx context.Context, resp *http.Response, err error) (bool, error) {
	sent, ok := ctx.Value(sentKey{}).(*sentFlag)
	var refused *tls.CertificateVerificationError
	switch {
	case !ok, ctx.Err() != nil:
		return false, nil
	case errors.As(err, &refused): // and will be again
		return false, nil
	case sent.write:
		return err != nil && !sent.maybe.Load(), nil
	case err != nil:
		return true, nil
	}
	return resp.StatusCode >= 400 && kindOfStatus(resp.StatusCode, false) == Unavailable, nil
}

func newRequest(ctx context.Context, s *session, e endpoint, r call) (*retryablehttp.Request, error) {
	var body any
	if r.body != nil {
		body = r.body
	}
	req, err := retryablehttp.NewRequestWithContext(ctx, r.method, e.base+s.prefix+r.path, body)
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "ibfabric")
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if s.authorization.IsSet() {
		req.Header.Set("Authorization", s.authorization.reveal())
	}
	return req, nil
}
