package ufmsim

import (
	"net/http"
	"strings"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

func (s *Sim) parseList(r *http.Request) call {
	guids, qos := asked(r, "guids_data"), asked(r, "qos_conf")
	return call{op: OpList, read: func() answer { return s.list(guids, qos) }}
}

func (s *Sim) parseGet(r *http.Request) call {
	p, err := pkey.ParseUFM(r.PathValue("pkey"))
	if err != nil {
		a := text(http.StatusBadRequest, err.Error())
		return call{op: OpGet, refused: &a}
	}
	guids, qos := asked(r, "guids_data"), asked(r, "qos_conf")
	return call{op: OpGet, pkey: p, read: func() answer { return s.get(p, guids, qos) }}
}

func (s *Sim) parseLastUpdated(*http.Request) call {
	return call{op: OpLastUpdated, read: s.showLastUpdated}
}

// asked reads a query flag as UFM's Python does, which knows True too.
func asked(r *http.Request, flag string) bool {
	v := r.URL.Query().Get(flag)
	return strings.EqualFold(v, "true") || v == "1"
}

func (s *Sim) encoder(guids, qos bool) *encoder {
	return &encoder{guids: guids, qos: qos, guidForm: s.quirks.GUIDForm, padded: s.quirks.PaddedPKeys}
}

// list has three shapes, by query and quirk: both flags at once never worked in UFM.
func (s *Sim) list(guids, qos bool) answer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if guids && qos {
		guids, qos = s.quirks.ListBoth != "qos", s.quirks.ListBoth == "qos" || s.quirks.ListBoth == "full"
	}
	e := s.encoder(guids, qos)
	if !guids && !qos && s.quirks.PlainList != "" && s.quirks.PlainList != "object" {
		s.plainList(e, s.quirks.PlainList == "list")
	} else {
		e.object(s.model)
	}
	return answer{status: http.StatusOK, body: e.buf}
}

// plainList is ["0x1",…], or [{"pkey":"0x1"},…].
func (s *Sim) plainList(e *encoder, objects bool) {
	e.text("[")
	for i, k := range s.model.keys() {
		if i > 0 {
			e.text(",")
		}
		if objects {
			e.text(`{"pkey":`)
		}
		e.key(k)
		if objects {
			e.text("}")
		}
	}
	e.text("]")
}

// get answers for an unknown PKey as if it were there and empty: 200 and {}.
func (s *Sim) get(k pkey.PKey, guids, qos bool) answer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.model.partitions[k]
	switch {
	case p == nil && s.quirks.UnknownPKey404:
		return text(http.StatusNotFound, "Partition "+k.String()+" does not exist")
	case p == nil:
		return answer{status: http.StatusOK, body: []byte("{}")}
	}
	e := s.encoder(guids, qos)
	if s.quirks.WrappedGet {
		e.object(&state{partitions: map[pkey.PKey]*partition{k: p}})
	} else {
		e.partition(k, p)
	}
	return answer{status: http.StatusOK, body: e.buf}
}

func (s *Sim) showLastUpdated() answer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var shown any // null before the first change
	switch {
	case s.lastUpdated.IsZero():
	case s.quirks.UTCLastUpdated:
		shown = s.lastUpdated.UTC().Format("Mon Jan _2 15:04:05 UTC 2006")
	default:
		shown = s.lastUpdated.In(s.cfg.Location).Format("02-01-2006, 15:04:05")
	}
	return jsonAnswer(http.StatusOK, map[string]any{"last_updated": shown})
}

// version has the fields of releases from 6.18 on.
func (s *Sim) version(*http.Request) answer {
	return jsonAnswer(http.StatusOK, map[string]any{
		"ufm_release_version": s.cfg.Version, "ufm_webui": s.cfg.Version, "opensm": "ufm-sim", "plugins": map[string]any{},
	})
}

// smconf is the subnet manager as it comes, keys unset: what a client should warn of.
func (s *Sim) smconf(*http.Request) answer {
	return jsonAnswer(http.StatusOK, map[string]any{
		"subnet_prefix": "0xfe80000000000000", "m_key": "0x0000000000000000",
		"sm_key": "0x0000000000000001", "sa_key": "0x0000000000000001", "m_key_per_port": false,
	})
}

func (s *Sim) makeToken(*http.Request) answer {
	return jsonAnswer(http.StatusOK, s.logins.newToken(s.clock.Now()))
}

func (s *Sim) listTokens(*http.Request) answer {
	return jsonAnswer(http.StatusOK, s.logins.listTokens())
}

// listPorts shows the configured ports: real UFM lists physical ones only, never VFs.
func (s *Sim) listPorts(r *http.Request) answer {
	want := r.URL.Query().Get("sys_type")
	list := []map[string]any{}
	for i, p := range s.cfg.Ports {
		kind := p.Type
		setDefault(&kind, "Computer")
		if want != "" && !strings.EqualFold(want, kind) {
			continue
		}
		list = append(list, map[string]any{
			"guid": p.GUID.Hex(), "name": p.GUID.Hex() + "_1", "systemID": p.GUID.Hex(), "system_name": p.System,
			"node_description": p.System, "dname": "HCA-1/1", "lid": i + 1, "number": 1, "external_number": 1,
			"logical_state": "Active", "physical_state": "Link Up", "mtu": 4096,
		})
	}
	return jsonAnswer(http.StatusOK, list)
}

// listVPorts shows nothing by default: UFM does not look for virtual ports unless told.
// Where it does, a GUID that is no physical port counts as one.
func (s *Sim) listVPorts(*http.Request) answer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := []map[string]any{}
	if !s.quirks.VPorts {
		return jsonAnswer(http.StatusOK, list)
	}
	seen := map[guid.GUID]bool{}
	for _, k := range s.fabric.keys() {
		for _, m := range s.fabric.partitions[k].members {
			if seen[m.GUID] || s.ports[m.GUID] {
				continue
			}
			seen[m.GUID] = true
			list = append(list, map[string]any{
				"virtual_port_guid": m.GUID.Hex(), "virtual_port_state": "Active", "virtual_port_lid": len(s.cfg.Ports) + len(seen),
			})
		}
	}
	return jsonAnswer(http.StatusOK, list)
}
