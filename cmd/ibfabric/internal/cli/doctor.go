package cli

import (
	"context"
	"crypto/x509"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/client"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/doctor"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/reach"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// doctorFlags are what the doctor cannot find out by itself.
type doctorFlags struct {
	addresses []string
	ca        string
	smConf    []string
}

func (a *app) doctor() *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use: "doctor", Short: "What the cluster lacks to serve pods, and which command mends it",
		Long: `doctor looks at the cluster and changes nothing. Each row says what it saw, and the command that mends
it. It connects to UFM to look at its certificate, and sends nothing there. It exits with 1 when
something is to be mended. What a node lacks, ibfabric-cni doctor says on that node.`,
		Example: `  ibfabric doctor
  ibfabric doctor --ufm-address ufm.example.com --ufm-certificate ufm.crt
  ibfabric doctor --sm-conf smconf.json -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			facts, roots, err := f.read()
			if err != nil {
				return err
			}
			cluster, err := a.options.Cluster()
			if err != nil {
				return err
			}
			a.look(cmd.Context(), cluster, &facts, f.addresses, roots)
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			report := doctor.Examine(facts, a.Now())
			err = a.print(report, func(w io.Writer) error {
				_, err := io.WriteString(w, report.Table(a.Color))
				return err
			})
			if err == nil && !report.OK {
				return fault.ErrFound
			}
			return err
		},
	}
	c.Flags().StringSliceVar(&f.addresses, "ufm-address", nil, "`host` of UFM, with a port or without (default: as the controller says)")
	c.Flags().StringVar(&f.ca, "ufm-certificate", "", "`file` with UFM's certificate, or with that of who signed it, to check what UFM shows")
	c.Flags().StringArrayVar(&f.smConf, "sm-conf", nil, "`file` with UFM's answer to app/smconf or to resources/pkeys?guids_data=true; may be repeated")
	a.outputFlag(c)
	return c
}

// read reads the files that were given.
func (f doctorFlags) read() (facts doctor.Facts, roots *x509.CertPool, err error) {
	if f.ca != "" {
		text, err := os.ReadFile(f.ca)
		if err != nil {
			return facts, nil, fault.New(fault.Usage, "read --ufm-certificate", err)
		}
		if roots = x509.NewCertPool(); !roots.AppendCertsFromPEM(text) {
			return facts, nil, fault.New(fault.Usage, "--ufm-certificate "+f.ca+" has no PEM certificate in it", nil)
		}
	}
	for _, name := range f.smConf {
		text, err := os.ReadFile(name)
		if err != nil {
			return facts, nil, fault.New(fault.Usage, "read --sm-conf", err)
		}
		if facts.SM == nil {
			facts.SM = &doctor.SM{}
		}
		if err := facts.SM.ReadSM(text); err != nil {
			return facts, nil, fault.New(fault.Usage, "read --sm-conf "+name, err)
		}
	}
	return facts, roots, nil
}

// look gathers all facts. What cannot be had is a fact, too.
func (a *app) look(ctx context.Context, cluster *reach.Cluster, f *doctor.Facts, addresses []string, roots *x509.CertPool) {
	progress := a.progress("reading the cluster")
	doctor.Look(ctx, cluster.API, f)
	progress.Done()
	err := a.askIn(cluster, func(c *client.Client, _ *show.Progress) (err error) {
		f.Overview.Value, err = client.Get[api.Overview](ctx, c, api.PathOverview, api.Query{})
		return err
	})
	if f.Overview.Err = err; err == nil {
		f.Fabric = f.Overview.Value.Fabric
		if len(addresses) == 0 {
			addresses = doctor.Hosts(f.Overview.Value.UFM.Target)
		}
	}
	progress = a.progress("looking at UFM's certificate")
	f.UFM = doctor.Probe(ctx, addresses, roots, a.Now())
	progress.Done()
}
