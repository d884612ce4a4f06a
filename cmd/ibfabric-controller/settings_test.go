package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/guid"
)

func env(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

func mustParse(t *testing.T, getenv func(string) string, args ...string) *settings {
	t.Helper()
	s, err := parse(args, getenv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestIBKubernetesSettingsWork(t *testing.T) {
	s := mustParse(t, env(
		"DAEMON_SM_PLUGIN", "ufm", "DAEMON_PERIODIC_UPDATE", "5",
		"GUID_POOL_RANGE_START", "02:00:00:00:00:00:00:00", "GUID_POOL_RANGE_END", "02:00:00:00:00:00:FF:FF",
		"UFM_ADDRESS", "ufm1,ufm2", "UFM_HTTP_SCHEMA", "http", "UFM_PORT", "8080", "POD_NAMESPACE", "fabric",
	))
	if s.Plugin != "ufm" || s.Addresses != "ufm1,ufm2" || s.Scheme != "http" || s.Port != 8080 || s.Namespace != "fabric" {
		t.Errorf("%+v", s)
	}
	if want := (guid.Range{First: 0x0200000000000000, Last: 0x020000000000ffff}); len(s.GUIDs) != 1 || s.GUIDs[0] != want {
		t.Errorf("ranges %v", s.GUIDs)
	}
	if s.SyncEvery != 30*time.Second {
		t.Errorf("five seconds of ib-kubernetes became a full read every %s", s.SyncEvery)
	}
}

func TestFlagsBeatTheEnvironmentAndThatBeatsFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"UFM_ADDRESS": "from-file\n", "IBFABRIC_HOLD": "3m", "UFM_PORT": "1", "DAEMON_PERIODIC_UPDATE": "120"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := mustParse(t, env("IBFABRIC_CONFIG_DIR", dir, "UFM_PORT", "2", "IBFABRIC_HOLD", "4m"), "--hold=5m")
	if s.Addresses != "from-file" || s.Port != 2 || s.Hold != 5*time.Minute || s.SyncEvery != 2*time.Minute {
		t.Errorf("address %q, port %d, hold %s, sync %s", s.Addresses, s.Port, s.Hold, s.SyncEvery)
	}
}

func TestSettingsThatCannotWorkAreRefusedByName(t *testing.T) {
	for name, tc := range map[string]struct {
		getenv func(string) string
		args   []string
		says   string
	}{
		"a typo in a flag":         {env(), []string{"--hodl=5m"}, "hodl"},
		"a stray word":             {env(), []string{"start"}, `"start"`},
		"a guid that is none":      {env("GUID_POOL_RANGE_START", "02:00"), nil, "16 hex digits"},
		"a range upside down":      {env("GUID_POOL_RANGE_START", "03:00:00:00:00:00:00:00"), nil, "above its end"},
		"starts without ends":      {env(), []string{"--guid-range-start=02:00:00:00:00:00:00:00,04:00:00:00:00:00:00:00"}, "give each range both"},
		"a pkey in decimal":        {env("IBFABRIC_PKEY_SCOPE", "1000"), nil, "did you mean"},
		"a policy":                 {env(), []string{"--sync-policy=upsert"}, "add-only"},
		"a selector":               {env(), []string{"--network-selector=a=b=c"}, "--network-selector"},
		"a period of words":        {env("DAEMON_PERIODIC_UPDATE", "5s"), nil, "whole seconds"},
		"a number that is none":    {env("UFM_PORT", "https"), nil, "UFM_PORT"},
		"no workers":               {env(), []string{"--pod-workers=0"}, "--pod-workers"},
		"a lease that cannot hold": {env(), []string{"--lease-duration=5s"}, "--lease-renew"},
		"a fabric of two words":    {env("IBFABRIC_FABRIC", "Rack 1"), nil, "--fabric"},
		"no fabric":                {env(), []string{"--fabric="}, "--fabric"},
		"no sync":                  {env(), []string{"--sync-period=0s"}, "--sync-period"},
	} {
		_, err := parse(tc.args, tc.getenv, io.Discard)
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v; want it to say %q", name, err, tc.says)
		}
	}
}

func TestWhatKubernetesAndImagesPutIntoTheEnvironmentIsNoSetting(t *testing.T) {
	s := mustParse(t, env(
		"IBFABRIC_WEBHOOK_PORT", "tcp://10.96.0.7:443", "IBFABRIC_WEBHOOK_SERVICE_HOST", "10.96.0.7", // of our own Service
		"UFM_PORT", "udp://[fd00::1]:443", "UFM_SERVICE_PORT", "443", // of one that leads to UFM
		"IBFABRIC_VERSION", "v1.2.3",
	))
	if s.Webhooks.Port != 9443 || s.Port != 0 || s.PrintVersion {
		t.Errorf("webhooks on %d, UFM on %d, version %t", s.Webhooks.Port, s.Port, s.PrintVersion)
	}
}

func TestDefaultsAreSafe(t *testing.T) {
	s := mustParse(t, env())
	if s.SkipVerify || s.Scheme != "https" || s.Policy != controller.Sync || !s.LeaderElect || s.Hold != 10*time.Minute || s.LeaseDuration != 15*time.Second {
		t.Errorf("%+v", s)
	}
}

func TestHelpNamesEverySettingAndItsVariable(t *testing.T) {
	var out bytes.Buffer
	_, _ = parse([]string{"--help"}, env(), &out)
	for _, want := range []string{"--ufm-address", "UFM_ADDRESS", "--hold", "IBFABRIC_HOLD", "GUID_POOL_RANGE_START", "KUBECONFIG"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("--help does not say %s", want)
		}
	}
}
