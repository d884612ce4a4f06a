package ufmsim

import (
	"io"
	"net/http"
	"strings"
)

// newRoutes is the map of the API. Every path stands under each of the three prefixes;
// which of them lets a caller in is for authenticate to say.
func (s *Sim) newRoutes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, parse := range s.api() {
		method, path, _ := strings.Cut(pattern, " ")
		for _, prefix := range []string{prefixBasic, prefixSession, prefixToken} {
			mux.HandleFunc(strings.TrimSpace(method+" "+prefix+path), s.handle(prefix, parse))
		}
	}
	mux.HandleFunc("POST /dologin", s.login)
	if s.cfg.Control {
		s.addControl(mux)
	}
	return mux
}

// api says what each call of UFM's means. A pattern without a method takes all that is
// left; UFM's paths work with and without a slash behind them.
func (s *Sim) api() map[string]func(*http.Request) call {
	return map[string]func(*http.Request) call{
		"POST /resources/pkeys/add":                     s.parseCreate,
		"POST /resources/pkeys":                         s.parseAdd,
		"POST /resources/pkeys/{$}":                     s.parseAdd,
		"PUT /resources/pkeys":                          s.parsePut,
		"PUT /resources/pkeys/{$}":                      s.parsePut,
		"PUT /resources/pkeys/qos_conf":                 s.parseQoS,
		"GET /resources/pkeys":                          s.parseList,
		"GET /resources/pkeys/{$}":                      s.parseList,
		"GET /resources/pkeys/last_updated":             s.parseLastUpdated,
		"GET /resources/pkeys/{pkey}":                   s.parseGet,
		"DELETE /resources/pkeys/{pkey}":                s.parseDelete,
		"DELETE /resources/pkeys/{pkey}/guids/{guids}":  s.parseRemoveURL,
		"POST /actions/remove_guids_from_pkey":          s.parseRemove,
		"POST /actions/add_guids_to_pkey":               s.parseOldAdd,
		"GET /actions/get_all_pkeys":                    s.parseList,
		"GET /app/ufm_version":                          s.other(s.version),
		"GET /app/smconf":                               s.other(s.smconf),
		"POST /app/tokens":                              s.other(s.makeToken),
		"GET /app/tokens":                               s.other(s.listTokens),
		"GET /resources/ports":                          s.other(s.listPorts),
		"GET /resources/vports":                         s.other(s.listVPorts),
		"POST /resources/pkeys/hosts":                   s.other(notHere),
		"DELETE /resources/pkeys/{pkey}/hosts/{hosts}":  s.other(notHere),
		"PUT /resources/pkeys/{pkey}/sharp-reservation": s.other(notHere),
		" /jobs/":   s.other(notHere),
		" /cloudx/": s.other(notHere),
		" /plugin/": s.other(notHere),
		" /":        s.other(notThere),
	}
}

// other is a call that leaves partitions alone.
func (s *Sim) other(do func(*http.Request) answer) func(*http.Request) call {
	return func(r *http.Request) call {
		return call{op: OpOther, read: func() answer { return do(r) }}
	}
}

// notHere names what UFM has and a Sim does not.
func notHere(r *http.Request) answer {
	return text(http.StatusNotImplemented, "ufm-sim does not do "+r.Method+" "+clip(r.URL.Path)+": it covers partitions by GUID; hosts, jobs, SHARP, CloudX and plugins need a real UFM")
}

func notThere(r *http.Request) answer {
	return text(http.StatusNotFound, "no such resource: "+r.Method+" "+clip(r.URL.Path))
}

// maxBody is above the largest sensible change by far: 50,000 GUIDs are about a megabyte.
const maxBody = 16 << 20

func readBody(r *http.Request) ([]byte, *answer) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		a := text(http.StatusBadRequest, "the body ended early")
		return nil, &a
	}
	if len(body) > maxBody {
		a := text(http.StatusRequestEntityTooLarge, "the body is above 16 MiB")
		return nil, &a
	}
	return body, nil
}

// clip keeps what a client sent from filling a message.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
