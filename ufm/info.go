package ufm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/ibfabric/ibfabric/pkey"
)

// Version asks for the release of UFM, as in 6.18.0-5. It needs credentials, so that it
// proves them too.
func (c *Client) Version(ctx context.Context) (string, error) { return c.version(ctx, "") }

func (c *Client) version(ctx context.Context, at string) (string, error) {
	var release string
	_, err := c.do(ctx, call{
		op: "read ufm's version", method: http.MethodGet, path: "/app/ufm_version", at: at,
		read: func(body []byte) error {
			var object fields
			if err := json.Unmarshal(body, &object); err != nil {
				return err
			}
			if release = text(object["ufm_release_version"]); release == "" {
				return errors.New("no ufm_release_version in it")
			}
			return nil
		},
	})
	return release, err
}

// LastUpdated is when UFM last carried out a change to partitions, "" when it never did.
// The text only says whether something moved: it is local time of UFM's host without a
// zone, and its format depends on the version.
func (c *Client) LastUpdated(ctx context.Context) (string, error) {
	var moved string
	_, err := c.do(ctx, call{
		op: "read when partitions were last updated", method: http.MethodGet, path: pathPKeys + "/last_updated",
		read: func(body []byte) error {
			var object fields
			if err := json.Unmarshal(body, &object); err != nil {
				return err
			}
			raw, ok := object["last_updated"]
			if !ok {
				return errors.New("no last_updated in it")
			}
			moved = text(raw)
			return nil
		},
	})
	return moved, err
}

// QoS reads the quality of service of p, and whether UFM knows any.
func (c *Client) QoS(ctx context.Context, p pkey.PKey) (q pkey.QoS, known bool, err error) {
	_, err = c.do(ctx, call{
		op: "read the qos of pkey " + p.String(), method: http.MethodGet, path: pathPKeys + "/" + p.String() + "?qos_conf=true",
		read: func(body []byte) (err error) { q, known, err = decodeQoS(p, body); return err },
	})
	if isKind(err, NotFound) {
		return pkey.QoS{}, false, nil
	}
	return q, known, err
}

func decodeQoS(p pkey.PKey, body []byte) (q pkey.QoS, known bool, err error) {
	object, err := unwrap(p, body)
	if err != nil || object["qos_conf"] == nil || text(object["qos_conf"]) == "" {
		return pkey.QoS{}, false, err
	}
	var conf fields
	if err := json.Unmarshal(object["qos_conf"], &conf); err != nil {
		return pkey.QoS{}, false, fmt.Errorf("its qos_conf is no object: %w", err)
	}
	// Through text, since a number may come as "2.5".
	var failed [3]error
	q.MTULimit, failed[0] = strconv.Atoi(text(conf["mtu_limit"]))
	q.RateLimit, failed[1] = strconv.ParseFloat(text(conf["rate_limit"]), 64)
	q.ServiceLevel, failed[2] = strconv.Atoi(text(conf["service_level"]))
	if errors.Join(failed[:]...) != nil { // which quote all of what was there
		return pkey.QoS{}, false, errors.New("its qos_conf is no numbers")
	}
	return q, true, nil
}

// SetQoS sets the quality of service of p, which must have members. UFM may want a restart
// of the subnet manager before it counts, and forgets it with the last member.
func (c *Client) SetQoS(ctx context.Context, p pkey.PKey, q pkey.QoS) error {
	op := "set the qos of pkey " + p.String()
	_, err := checkChange(p, nil)
	if err == nil {
		err = q.Validate()
	}
	if err != nil {
		return reject(op, err)
	}
	body, err := json.Marshal(struct {
		PKey string `json:"pkey"`
		pkey.QoS
	}{p.String(), q})
	if err != nil {
		return reject(op, err)
	}
	_, err = c.do(ctx, call{op: op, method: http.MethodPut, path: pathPKeys + "/qos_conf", body: body})
	return err
}

// SMConf is what matters of the subnet manager's configuration. It holds no key of the
// fabric: whoever has the M_Key can program any port.
type SMConf struct {
	SubnetPrefix string   // 0xfe80000000000000 unless changed
	Weak         []string // keys left as they come, which lets a host undo partitions; for people
}

// SMConf reads how well the subnet manager is protected.
func (c *Client) SMConf(ctx context.Context) (SMConf, error) {
	var conf SMConf
	_, err := c.do(ctx, call{
		op: "read the subnet manager's configuration", method: http.MethodGet, path: "/app/smconf", secret: true,
		read: func(body []byte) (err error) { conf, err = ReadSMConf(body); return err },
	})
	return conf, err
}

// ReadSMConf reads UFM's answer to app/smconf. Its error quotes nothing of it.
func ReadSMConf(body []byte) (SMConf, error) {
	var object fields
	if err := json.Unmarshal(body, &object); err != nil {
		return SMConf{}, errors.New("not a JSON object") // err may quote
	}
	return SMConf{SubnetPrefix: text(object["subnet_prefix"]), Weak: weakKeys(object)}, nil
}

// weakKeys says which keys have the value that OpenSM comes with. Of what UFM does not
// tell, it says nothing.
func weakKeys(object fields) []string {
	var weak []string
	is := func(name string, value uint64) bool {
		v, err := strconv.ParseUint(text(object[name]), 0, 64)
		return err == nil && v == value
	}
	if is("m_key", 0) {
		weak = append(weak, "m_key is 0: any host can program ports")
	}
	if is("sm_key", 1) {
		weak = append(weak, "sm_key is the default: any host can become the subnet manager")
	}
	if is("sa_key", 1) {
		weak = append(weak, "sa_key is the default: any host can query the subnet manager as trusted")
	}
	if !truth(object["m_key_per_port"], true) {
		weak = append(weak, "m_key_per_port is off: one key opens all ports")
	}
	return weak
}
