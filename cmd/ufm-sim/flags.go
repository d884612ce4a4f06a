package main

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// options are what the flags say.
type options struct {
	config    ufmsim.Config
	opensm    opensmFlags
	listen    string
	certDir   string
	san       bool
	logFormat string

	printVersion bool
}

const usage = `ufm-sim is a UFM-compatible server for InfiniBand partitions: the REST API of UFM
Enterprise by GUID, with its quirks, delays and faults.

  ufm-sim                                      https://127.0.0.1:8443, user admin, password 123456
  ufm-sim --change-latency 200ms --control     as slow as a real one, and can be told to fail
  ufm-sim --opensm-partitions /etc/opensm/partitions.conf --opensm-pid-file /run/opensm.pid
                                               for a fabric with OpenSM and no UFM: see docs/opensm.md
  curl --cacert DIR/ufm.crt -u admin:123456 https://127.0.0.1:8443/ufmRest/resources/pkeys?guids_data=true

Flags:
`

// secretDefault says where a secret comes from without showing it in --help.
func secretDefault(flagValue *string, env, fallback string) {
	if *flagValue == "" {
		*flagValue = env
	}
	if *flagValue == "" {
		*flagValue = fallback
	}
}

// flags are those of the program, and where they put what they are told.
func flags() (fs *flag.FlagSet, o *options, clientCA *string) {
	o = &options{}
	c := &o.config
	fs = flag.NewFlagSet("ufm-sim", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // errors are printed once, by run
	fs.BoolVar(&o.printVersion, "version", false, "print the version and end")
	fs.StringVar(&o.listen, "listen", "127.0.0.1:8443", "`address` and port to listen on; port 0 takes a free one")
	fs.BoolVar(&c.PlainHTTP, "http", false, "plain HTTP, no TLS")
	fs.StringVar(&o.certDir, "cert-dir", "", "`folder` of ufm.crt and ufm.key, made when missing (default ufm-sim in the user's cache folder)")
	fs.BoolVar(&o.san, "san", true, "name the hosts in a new certificate; --san=false makes one with a common name only")
	fs.StringVar(&c.Username, "username", "", "`name` for basic and session login (default $UFM_USERNAME, else admin)")
	fs.StringVar(&c.Password, "password", "", "its `password` (default $UFM_PASSWORD, else 123456)")
	fs.StringVar(&c.Token, "token", "", "a `token` for /ufmRestV3 (default $UFM_TOKEN)")
	clientCA = fs.String("client-ca", "", "PEM `file`: clients with a certificate by it may use /ufmRest")
	fs.DurationVar(&c.Timing.Change, "change-latency", 0, "how long a change takes, as in 200ms")
	fs.DurationVar(&c.Timing.Read, "read-latency", 0, "how long a read takes")
	fs.DurationVar(&c.Timing.Apply, "apply-delay", 0, "from the answer to a change until last_updated moves")
	fs.StringVar(&c.StateFile, "state", "", "`file` to keep partitions in; empty is memory only")
	fs.IntVar(&c.JournalLimit, "journal", 10000, "changes to remember; 0 is all")
	fs.BoolVar(&c.Control, "control", false, "enable /ufm-sim/: journal, faults, quirks, restart (GET /ufm-sim/ lists them)")
	fs.StringVar(&c.ControlToken, "control-token", "", "bearer `token` for /ufm-sim/ (default $UFM_SIM_CONTROL_TOKEN, else open)")
	o.opensm.add(fs)
	fs.StringVar(&o.logFormat, "log-format", "console", "console or json")
	fs.Func("quirk", "`name[=value]` of a quirk, see below; repeat for more", func(s string) error {
		name, value, _ := strings.Cut(s, "=")
		return c.Quirks.Set(name, value)
	})
	return fs, o, clientCA
}

// parseFlags reads flags and then the environment, whose names are those of the
// controller: one file of settings can serve both.
func parseFlags(args []string, getenv func(string) string, stdout io.Writer) (*options, error) {
	fs, o, clientCA := flags()
	c := &o.config
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			printHelp(fs, stdout)
		}
		return nil, err
	}
	if c.ControlToken != "" && !c.Control {
		return nil, errors.New("--control-token: needs --control")
	}
	secretDefault(&c.Username, getenv("UFM_USERNAME"), "admin")
	secretDefault(&c.Password, getenv("UFM_PASSWORD"), "")
	secretDefault(&c.Token, getenv("UFM_TOKEN"), "")
	secretDefault(&c.ControlToken, getenv("UFM_SIM_CONTROL_TOKEN"), "")
	if err := o.opensm.check(c); err != nil {
		return nil, err
	}
	secretDefault(&c.Password, "", "123456")
	return o, o.check(fs.Args(), *clientCA)
}

// check refuses what the flag package lets pass, in the name of the flag.
func (o *options) check(rest []string, clientCA string) error {
	if len(rest) > 0 {
		return fmt.Errorf("%q: there are no arguments, only flags", rest[0])
	}
	if _, port, err := net.SplitHostPort(o.listen); err != nil || port == "" {
		return fmt.Errorf("--listen %q: write host:port, as in 127.0.0.1:8443", o.listen)
	}
	if o.logFormat != "console" && o.logFormat != "json" {
		return fmt.Errorf("--log-format %q: use console or json", o.logFormat)
	}
	for name, d := range map[string]time.Duration{
		"change-latency": o.config.Timing.Change, "read-latency": o.config.Timing.Read, "apply-delay": o.config.Timing.Apply,
	} {
		if d < 0 {
			return fmt.Errorf("--%s %s: cannot be below 0", name, d)
		}
	}
	if o.config.JournalLimit < 0 {
		return fmt.Errorf("--journal %d: cannot be below 0", o.config.JournalLimit)
	}
	return o.readClientCA(clientCA)
}

// readClientCA fails now rather than at the first handshake, where nobody looks.
func (o *options) readClientCA(path string) error {
	if path == "" {
		return nil
	}
	if o.config.PlainHTTP {
		return errors.New("--client-ca: client certificates need TLS; leave out --http")
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("--client-ca: %w", err)
	}
	o.config.ClientCAs = x509.NewCertPool()
	if !o.config.ClientCAs.AppendCertsFromPEM(pem) {
		return fmt.Errorf("--client-ca %s: holds no PEM certificate", path)
	}
	return nil
}

// printHelp writes flags and quirks from their own tables, so that none can be missing.
func printHelp(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprint(w, usage)
	// As --name, which is how everybody writes them; the flag package takes both.
	fs.VisitAll(func(f *flag.Flag) {
		name, help := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "0s" && f.DefValue != "false" {
			help += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "  --%-28s %s\n", strings.TrimSpace(f.Name+" "+name), help)
	})
	fmt.Fprintf(w, "\nQuirks, the first value being the default (off where there is none):\n%s", ufmsim.QuirkHelp())
}
