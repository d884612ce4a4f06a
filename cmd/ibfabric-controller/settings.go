package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// settings are everything that the program can be told.
type settings struct {
	controller.Config

	Kubeconfig   string
	InstallCRDs  bool
	LeaderElect  bool
	RenewEvery   time.Duration
	RenewFor     time.Duration
	Plugin       string
	Addresses    string
	Scheme       string
	Port         int
	SecretDir    string
	SkipVerify   bool
	LogLevel     string
	LogFormat    string
	HealthAddr   string
	MetricsAddr  string
	PrintVersion bool
	Partitions   partitionSettings
	Claims       claimSettings
	Webhooks     admissionSettings
	Multus       multusSettings
	Console      consoleSettings
}

// parse reads flags, then the environment, then the files of --config-dir and
// --ufm-secret-dir, which are named as the variables. The first that has a value wins.
func parse(args []string, getenv func(string) string, out io.Writer) (*settings, error) {
	s := &settings{}
	fs := flag.NewFlagSet("ibfabric-controller", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // an error is said once, by main, and not under a page of help
	fs.Usage = func() {}

	var t texts
	s.flags(fs, &t)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fs.SetOutput(out)
			usage(fs)
			return nil, err
		}
		return nil, fmt.Errorf("%w; see --help", err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%q: flags only; see --help", fs.Arg(0))
	}
	if err := fill(fs, getenv, &t.configDir, &s.SecretDir); err != nil {
		return nil, err
	}
	if err := s.period(fs, getenv, t.configDir); err != nil {
		return nil, err
	}
	return s, s.read(t)
}

// texts are flags that say more than a text, as they were given.
type texts struct{ start, end, scope, selector, policy, configDir string }

func (s *settings) flags(fs *flag.FlagSet, t *texts) {
	fs.StringVar(&s.Kubeconfig, "kubeconfig", "", "`file` to reach the cluster with (none: the pod's own account)")
	fs.BoolVar(&s.InstallCRDs, "install-crds", false, "create or update ibfabric's CRDs before starting")
	fs.StringVar(&s.Namespace, "namespace", "kube-system", "`namespace` of the lease and the ledger")
	fs.StringVar(&t.configDir, "config-dir", "", "`folder` of a mounted ConfigMap whose keys are variables of this list")
	fs.StringVar(&s.SecretDir, "ufm-secret-dir", "", "`folder` of the mounted UFM Secret; re-read when it changes (none: UFM_USERNAME, UFM_PASSWORD, UFM_TOKEN, UFM_CERTIFICATE, UFM_CLIENT_CERTIFICATE and UFM_CLIENT_KEY of the environment)")

	fs.StringVar(&s.Fabric, "fabric", "fabric", "`name` of this fabric, in lease, ledger and scheduling gate")
	fs.StringVar(&t.selector, "network-selector", "", "label `selector` of the NADs and Partitions that are this fabric's (none: all)")
	fs.StringVar(&t.start, "guid-range-start", "02:00:00:00:00:00:00:00", "first `GUID` to give out; several, by commas, with as many ends")
	fs.StringVar(&t.end, "guid-range-end", "02:FF:FF:FF:FF:FF:FF:FF", "last `GUID` to give out")
	fs.StringVar(&t.scope, "pkey-scope", "", "`PKeys` that may be changed, as 0x100-0x1ff,0x300 (none: all)")
	fs.StringVar(&t.policy, "sync-policy", "sync", "`policy`: sync, add-only (never removes) or dry-run (touches nothing)")
	fs.DurationVar(&s.SyncEvery, "sync-period", time.Minute, "time between full reads of UFM (DAEMON_PERIODIC_UPDATE, in seconds, is taken from 30 on)")
	fs.DurationVar(&s.SummaryEvery, "summary-period", 5*time.Minute, "time between the summary lines of the log")
	fs.DurationVar(&s.Hold, "hold", 10*time.Minute, "time before a GUID that UFM was seen without is given out again")

	fs.StringVar(&s.Plugin, "sm-plugin", "ufm", "`kind` of subnet manager: ufm, or noop (GUIDs only)")
	fs.StringVar(&s.Addresses, "ufm-address", "", "`host` of UFM; several, by commas, are tried in turn")
	fs.StringVar(&s.Scheme, "ufm-http-schema", "https", "`scheme`: https or http")
	fs.IntVar(&s.Port, "ufm-port", 0, "port of UFM (0: 443 or 80)")
	fs.BoolVar(&s.SkipVerify, "ufm-skip-tls-verify", false, "talk to whoever answers at UFM's address: anybody in between can read the password")
	fs.DurationVar(&s.FabricTimeout, "ufm-timeout", 30*time.Second, "longest wait for one answer of UFM")
	fs.BoolVar(&s.WaitApplied, "wait-applied", false, "count a change only when UFM's last_updated has moved")
	fs.IntVar(&s.Chunk, "ufm-chunk", 2000, "most GUIDs in one call to UFM")
	fs.IntVar(&s.FabricWorkers, "ufm-concurrency", 1, "changes that UFM gets at a time")
	fs.IntVar(&s.PKeyEntries, "pkey-table-entries", 128, "entries of a node's PKey table, the default PKey's among them: a gated pod is kept from nodes where its PKeys do not fit (0: not looked at)")
	fs.IntVar(&s.PodWorkers, "pod-workers", 16, "pods that are worked on at a time")

	fs.BoolVar(&s.LeaderElect, "leader-elect", true, "work only as the leader of all replicas")
	fs.DurationVar(&s.LeaseDuration, "lease-duration", 15*time.Second, "time before another replica takes over a lost leader's place")
	fs.DurationVar(&s.RenewFor, "lease-renew", 10*time.Second, "time after which a leader that cannot renew gives up")
	fs.DurationVar(&s.RenewEvery, "lease-retry", 2*time.Second, "time between attempts to get or renew the lease")
	fs.StringVar(&s.LogLevel, "log-level", "info", "`level`: debug, info, warn or error")
	fs.StringVar(&s.LogFormat, "log-format", "json", "`form`: json or console")
	fs.StringVar(&s.HealthAddr, "health-address", ":8081", "`address` of /healthz and /readyz (0: none)")
	fs.StringVar(&s.MetricsAddr, "metrics-address", "0", "`address` of /metrics in plain HTTP, for everybody who can reach it; --console-address has it too, for those who may (0: none)")
	s.Partitions.flags(fs)
	s.Claims.flags(fs)
	s.Webhooks.flags(fs)
	s.Multus.flags(fs)
	s.Console.flags(fs)
	fs.BoolVar(&s.PrintVersion, "version", false, "print the version and end")
}

// read makes values of what was given as text, and refuses what cannot work.
func (s *settings) read(t texts) error {
	// The name goes into those of objects, and of the gate: with another one the API server
	// would refuse every pod that is gated.
	if errs := validation.IsDNS1123Label(s.Fabric); len(errs) > 0 {
		return fmt.Errorf("--fabric %q: write lower-case letters, digits and '-', at most %d", s.Fabric, validation.DNS1123LabelMaxLength)
	}
	var err error
	if s.GUIDs, err = ranges(t.start, t.end); err != nil {
		return err
	}
	if s.Scope, err = pkey.ParseScope(t.scope); err != nil {
		return fmt.Errorf("--pkey-scope: %w", err)
	}
	if s.Networks, err = labels.Parse(t.selector); err != nil {
		return fmt.Errorf("--network-selector: %w", err)
	}
	if err := s.Partitions.check(s.Scope); err != nil {
		return err
	}
	if err := s.Webhooks.check(); err != nil {
		return err
	}
	if err := s.Multus.check(); err != nil {
		return err
	}
	switch s.Policy = controller.SyncPolicy(t.policy); s.Policy {
	case controller.Sync, controller.AddOnly, controller.DryRun:
	default:
		return fmt.Errorf("--sync-policy %q: use sync, add-only or dry-run", t.policy)
	}
	return s.checkNumbers()
}

func (s *settings) checkNumbers() error {
	for name, n := range map[string]int{"ufm-chunk": s.Chunk, "ufm-concurrency": s.FabricWorkers, "pod-workers": s.PodWorkers} {
		if n < 1 {
			return fmt.Errorf("--%s %d: at least 1", name, n)
		}
	}
	for name, d := range map[string]time.Duration{"sync-period": s.SyncEvery, "summary-period": s.SummaryEvery, "ufm-timeout": s.FabricTimeout} {
		if d <= 0 {
			return fmt.Errorf("--%s %s: must be above 0", name, d)
		}
	}
	if s.LeaseDuration <= s.RenewFor || s.RenewFor <= s.RenewEvery {
		return fmt.Errorf("--lease-duration %s must be above --lease-renew %s, and that above --lease-retry %s", s.LeaseDuration, s.RenewFor, s.RenewEvery)
	}
	return nil
}

func ranges(start, end string) ([]guid.Range, error) {
	first, last := strings.Split(start, ","), strings.Split(end, ",")
	if len(first) != len(last) {
		return nil, fmt.Errorf("GUID_POOL_RANGE_START has %d GUIDs and GUID_POOL_RANGE_END %d: give each range both", len(first), len(last))
	}
	var list []guid.Range
	for i := range first {
		r, err := guid.ParseRange(strings.TrimSpace(first[i]), strings.TrimSpace(last[i]))
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func usage(fs *flag.FlagSet) {
	out := fs.Output()
	fmt.Fprint(out, `ibfabric-controller gives pods on InfiniBand networks their GUIDs, and UFM its members.

  KUBECONFIG=… UFM_ADDRESS=… UFM_USERNAME=… UFM_PASSWORD=… ibfabric-controller --install-crds

Each flag has an environment variable, and a file of that name in --config-dir:

`)
	fs.VisitAll(func(f *flag.Flag) {
		value, help := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			help += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(out, "  --%s %s\n        %s\n", f.Name, value, help)
		if f.Name != "version" { // which is no setting
			fmt.Fprintf(out, "        %s\n", envOf(f.Name))
		}
	})
}
