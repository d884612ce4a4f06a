package clusterfake

import (
	"io"
	"net"
	"net/http"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// portForward speaks SPDY, as API servers did before WebSockets: the other end must fall
// back to it.
func (c *Cluster) portForward(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	to, there := c.pods[r.PathValue("namespace")+"/"+r.PathValue("pod")]
	forbidden := c.forbid["portforward"]
	c.mu.Unlock()
	switch {
	case forbidden:
		status(w, http.StatusForbidden, metav1.StatusReasonForbidden, `pods "x" is forbidden: User "user" cannot create resource "pods/portforward"`)
		return
	case !there:
		status(w, http.StatusNotFound, metav1.StatusReasonNotFound, `pods "`+r.PathValue("pod")+`" not found`)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
		return // it has been answered
	}
	pairs := &pairs{to: to, wait: map[string]httpstream.Stream{}}
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, pairs.add)
	if conn == nil {
		return
	}
	defer conn.Close()
	<-conn.CloseChan()
}

// pairs are streams that came with the same request id: one for data, one for errors.
type pairs struct {
	to   string
	mu   sync.Mutex // protects wait
	wait map[string]httpstream.Stream
}

func (p *pairs) add(s httpstream.Stream, replied <-chan struct{}) error {
	id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
	p.mu.Lock()
	other := p.wait[id]
	p.wait[id] = s
	p.mu.Unlock()
	if other == nil {
		return nil
	}
	data, errs := s, other
	if data.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
		data, errs = errs, data
	}
	go func() {
		<-replied
		defer data.Close()
		defer errs.Close()
		conn, err := net.Dial("tcp", p.to)
		if err != nil {
			_, _ = io.WriteString(errs, err.Error()) // the other end then says so
			return
		}
		defer conn.Close()
		go func() { _, _ = io.Copy(conn, data); _ = conn.Close() }()
		_, _ = io.Copy(data, conn) // until one of them ends
	}()
	return nil
}
