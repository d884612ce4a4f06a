package ufm

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// ParseAddresses reads the form of UFM_ADDRESS: addresses with commas between them, each
// a host name or an IP address, with or without a port. Doubles are dropped.
func ParseAddresses(s string) ([]string, error) {
	var list []string
	seen := map[string]bool{}
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" || seen[part] {
			continue
		}
		if _, _, err := splitAddress(part); err != nil {
			return nil, err
		}
		seen[part] = true
		list = append(list, part)
	}
	if len(list) == 0 {
		return nil, errors.New("no address of UFM: set UFM_ADDRESS")
	}
	return list, nil
}

// splitAddress takes an address apart. The port is 0 when there is none.
func splitAddress(s string) (host string, port int, err error) {
	switch {
	case strings.Contains(s, "@"):
		// Not quoted: what stands before the @ is a password.
		return "", 0, errors.New("UFM_ADDRESS holds a user or password: put them into UFM_USERNAME and UFM_PASSWORD")
	case strings.Contains(s, "://"):
		return "", 0, fmt.Errorf("UFM_ADDRESS %q: write the host alone, and https or http into UFM_HTTP_SCHEMA", clip(s))
	case strings.ContainsAny(s, "/?#% \t\r\n\\\"'"):
		return "", 0, fmt.Errorf("UFM_ADDRESS %q: write a host or host:port", clip(s))
	}
	bare := s
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		bare = s[1 : len(s)-1]
	}
	if net.ParseIP(bare) != nil {
		return bare, 0, nil
	}
	host = s
	if strings.Contains(s, ":") {
		var text string
		if host, text, err = net.SplitHostPort(s); err == nil {
			number, err := strconv.ParseUint(text, 10, 16)
			if err != nil || number == 0 {
				return "", 0, fmt.Errorf("UFM_ADDRESS %q: the port is 1 to 65535", clip(s))
			}
			port = int(number)
		}
	}
	if u, bad := url.Parse("//" + net.JoinHostPort(host, "1")); err != nil || strings.ContainsAny(host, "[]") || host == "" || bad != nil || u.Hostname() != host {
		return "", 0, fmt.Errorf("UFM_ADDRESS %q: write a host or host:port", clip(s))
	}
	return host, port, nil
}

// endpoint is one address of UFM.
type endpoint struct {
	index int
	name  string // as configured: what people and the controller see
	host  string // what the certificate must name
	base  string // scheme://host:port
}

func parseEndpoints(cfg Config) ([]endpoint, error) {
	if cfg.Port < 0 || cfg.Port > 65535 {
		return nil, fmt.Errorf("UFM_PORT %d: use 1 to 65535", cfg.Port)
	}
	// One text, one rule: a list made by hand is checked as UFM_ADDRESS is.
	names, err := ParseAddresses(strings.Join(cfg.Addresses, ","))
	if err != nil {
		return nil, err
	}
	list := make([]endpoint, len(names))
	for i, name := range names {
		host, port, err := splitAddress(name)
		if err != nil {
			return nil, err
		}
		switch {
		case port != 0:
		case cfg.Port != 0:
			port = cfg.Port
		case cfg.Scheme == "http":
			port = 80
		default:
			port = 443
		}
		base := url.URL{Scheme: cfg.Scheme, Host: net.JoinHostPort(host, strconv.Itoa(port))}
		list[i] = endpoint{index: i, name: name, host: host, base: base.String()}
	}
	return list, nil
}

// clip keeps what somebody wrote short enough for a message.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
