package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// minSync is the shortest full read that DAEMON_PERIODIC_UPDATE can ask for: the five
// seconds that ib-kubernetes comes with are its work loop, which ibfabric does not have.
const minSync = 30 * time.Second

// legacy are the environment variables of ib-kubernetes that stand for flags. Every
// other flag has one of the form IBFABRIC_SYNC_POLICY.
func legacy() map[string]string {
	return map[string]string{
		"sm-plugin":        "DAEMON_SM_PLUGIN",
		"guid-range-start": "GUID_POOL_RANGE_START",
		"guid-range-end":   "GUID_POOL_RANGE_END",
		"ufm-address":      "UFM_ADDRESS",
		"ufm-http-schema":  "UFM_HTTP_SCHEMA",
		"ufm-port":         "UFM_PORT",
		"namespace":        "POD_NAMESPACE",
		"kubeconfig":       "KUBECONFIG",
	}
}

func envOf(flagName string) string {
	if name, ok := legacy()[flagName]; ok {
		return name
	}
	return "IBFABRIC_" + strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

// fill gives flags that were not set the value of their variable or file.
func fill(fs *flag.FlagSet, getenv func(string) string, dirs ...*string) error {
	set := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { set[f.Name] = true })
	for _, name := range []string{"config-dir", "ufm-secret-dir"} { // the others may be in there
		if v := getenv(envOf(name)); v != "" && !set[name] {
			_ = fs.Set(name, v)
		}
	}
	var failed []error
	fs.VisitAll(func(f *flag.Flag) {
		switch f.Name {
		case "config-dir", "ufm-secret-dir", "kubeconfig": // client-go reads KUBECONFIG, which may name several
			return
		case "version": // an image may say in IBFABRIC_VERSION which one it has
			return
		}
		if set[f.Name] {
			return
		}
		v, err := lookup(envOf(f.Name), getenv, dirs)
		if err == nil && v != "" {
			err = fs.Set(f.Name, v)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("%s %q: %w", envOf(f.Name), v, err))
		}
	})
	return errors.Join(failed...)
}

// lookup finds a variable in the environment, else in a mounted folder.
func lookup(name string, getenv func(string) string, dirs []*string) (string, error) {
	if v := getenv(name); v != "" && !isServiceLink(name, v) {
		return v, nil
	}
	for _, dir := range dirs {
		if *dir == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(*dir, name))
		if err == nil {
			return strings.TrimSpace(string(text)), nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return "", nil
}

// isServiceLink reports whether a variable is Kubernetes' own: a pod is told of every Service
// of its namespace, of ibfabric-webhook by IBFABRIC_WEBHOOK_PORT=tcp://10.96.0.7:443.
func isServiceLink(name, value string) bool {
	return strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// period takes DAEMON_PERIODIC_UPDATE, unless the flag or its own variable is set.
func (s *settings) period(fs *flag.FlagSet, getenv func(string) string, configDir string) error {
	said := getenv(envOf("sync-period")) != ""
	fs.Visit(func(f *flag.Flag) { said = said || f.Name == "sync-period" })
	v, err := lookup("DAEMON_PERIODIC_UPDATE", getenv, []*string{&configDir})
	if err != nil || said || v == "" {
		return err
	}
	seconds, err := strconv.Atoi(v)
	if err != nil || seconds <= 0 {
		return fmt.Errorf("DAEMON_PERIODIC_UPDATE %q: write whole seconds, as in 60", v)
	}
	s.SyncEvery = max(minSync, time.Duration(seconds)*time.Second)
	return nil
}
