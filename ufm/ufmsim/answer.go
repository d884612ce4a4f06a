package ufmsim

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// answer is what goes back to a client. Handlers return one and do not write, so that
// any of them can be delayed, lost or mangled on its way.
type answer struct {
	status int
	kind   string // content type; "" is JSON
	body   []byte
	cookie *http.Cookie
	// cut closes the connection without an answer; half does so in the body.
	cut, half bool
}

// text is an error as UFM gives them: a line of text.
func text(status int, message string) answer {
	return answer{status: status, kind: "text/plain; charset=utf-8", body: []byte(message + "\n")}
}

func jsonAnswer(status int, v any) answer {
	body, err := json.Marshal(v)
	if err != nil {
		return text(http.StatusInternalServerError, err.Error())
	}
	return answer{status: status, body: body}
}

// write sends a, or breaks the connection when a says so: http.ErrAbortHandler is the
// way to do that which net/http offers and does not log.
func (s *Sim) write(w http.ResponseWriter, r *http.Request, a answer) {
	if a.cut {
		panic(http.ErrAbortHandler)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if a.kind != "" {
		h.Set("Content-Type", a.kind)
	}
	// UFM's own clock, which clients compare last_updated with.
	h.Set("Date", s.clock.Now().UTC().Format(http.TimeFormat))
	h.Set("Server", "ufm-sim")
	h.Set("Rest-Version", "1.6.0")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if a.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="UFM"`)
	}
	if a.cookie != nil {
		http.SetCookie(w, a.cookie)
	}
	w.WriteHeader(a.status)
	if r.Method == http.MethodHead {
		return
	}
	if !a.half {
		_, _ = w.Write(a.body) // a client that went away is no fault of ours
		return
	}
	_, _ = w.Write(a.body[:len(a.body)/2])
	_ = http.NewResponseController(w).Flush() // so that the half is seen
	panic(http.ErrAbortHandler)
}

const hugeAnswer = 10 << 20

// mangle does to an answer what a fault of its kind does.
func mangle(a answer, kind FaultKind) answer {
	switch kind {
	case FaultLost:
		a.cut = true
	case FaultTruncate:
		a.half = true
	case FaultHTML:
		a = answer{status: http.StatusOK, kind: "text/html", body: []byte("<!DOCTYPE html><html><head><title>UFM Login</title></head><body>Please log in.</body></html>\n")}
	case FaultTypes:
		a.body = []byte(`{"0x1":{"guids":"none","ip_over_ib":"yes","partition":7,"qos_conf":[]},"0x2":[],"0x3":{"guids":[{"guid":2,"index0":"no","membership":false}]},"last_updated":5}`)
	case FaultHuge:
		// Blanks come first: what follows an answer is often not read.
		a.body = append(bytes.Repeat([]byte(" "), hugeAnswer), a.body...)
	}
	return a
}
