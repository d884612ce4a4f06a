// Package client asks the console's JSON API, page by page where there are many.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// mostBody bounds one answer: a page of MaxLimit pods with all their GUIDs is far below.
const mostBody = 64 << 20

// Client asks one console.
type Client struct {
	HTTP http.RoundTripper
	// Refused makes an error of an answer that is not 200.
	Refused func(status int, body []byte) error
}

// Path fills the parts of a path of package api in: Path(api.PathPod, "namespace", n, "name", m).
func Path(pattern string, parts ...string) string {
	for i := 0; i+1 < len(parts); i += 2 {
		pattern = strings.Replace(pattern, "{"+parts[i]+"}", url.PathEscape(parts[i+1]), 1)
	}
	return pattern
}

// Get asks for one answer.
func Get[T any](ctx context.Context, c *Client, path string, q api.Query) (T, error) {
	return send[T](ctx, c, http.MethodGet, path, q, nil)
}

// Post has something done.
func Post[T any](ctx context.Context, c *Client, path string, body any) (T, error) {
	text, err := json.Marshal(body)
	if err != nil {
		var none T
		return none, fmt.Errorf("write the request: %w", err)
	}
	return send[T](ctx, c, http.MethodPost, path, api.Query{}, text)
}

// All asks for page after page until there are most items; 0 is no bound. seen, if not nil,
// is told how many there are so far, and in all.
func All[T any](ctx context.Context, c *Client, path string, q api.Query, most int, seen func(n, total int)) (api.List[T], error) {
	var all api.List[T]
	for {
		q.Limit = api.MaxLimit
		if most > 0 {
			q.Limit = min(q.Limit, most-len(all.Items))
		}
		page, err := Get[api.List[T]](ctx, c, path, q)
		if err != nil {
			return all, err
		}
		all.Items = append(all.Items, page.Items...)
		all.Total, all.AsOf, all.Continue = page.Total, page.AsOf, page.Continue
		if seen != nil {
			seen(len(all.Items), all.Total)
		}
		if page.Continue == "" || most > 0 && len(all.Items) >= most {
			return all, nil
		}
		q.Continue = page.Continue
	}
}

func send[T any](ctx context.Context, c *Client, method, path string, q api.Query, body []byte) (answer T, err error) {
	// The host is put in by whoever knows the leader.
	target := "https://console" + path
	if query := q.Values().Encode(); query != "" {
		target += "?" + query
	}
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return answer, fmt.Errorf("write the request: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	if body == nil {
		r.Body, r.GetBody, r.ContentLength = http.NoBody, nil, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.HTTP.RoundTrip(r)
	if err != nil {
		return answer, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostBody+1))
	switch {
	case err != nil:
		return answer, fault.New(fault.Unreachable, "read the console's answer", err)
	case resp.StatusCode != http.StatusOK:
		return answer, c.Refused(resp.StatusCode, text)
	case len(text) > mostBody:
		return answer, fault.New(fault.Failed, fmt.Sprintf("the console answered more than %d MiB to %s", mostBody>>20, path), nil)
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return answer, fault.New(fault.Failed, "read the console's answer to "+path, err, "# is what answers the console of a controller of this version? ibfabric status shows both versions")
	}
	return answer, nil
}
