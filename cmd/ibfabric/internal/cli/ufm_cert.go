package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/credential"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
)

func (a *app) ufmCert() *cobra.Command {
	var dir string
	var days int
	var force bool
	c := &cobra.Command{
		Use: "cert HOST...", Short: "Make a certificate for UFM that names its hosts",
		Long: `cert makes a key and a certificate, ufm.key and ufm.crt, for the names and addresses that the
controller and others reach UFM by. A certificate with a common name alone, as openssl req makes it
without -addext, is refused by most clients. It says where the files go.`,
		Example: `  ibfabric ufm cert 172.16.10.10 ufm.example.com`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, hosts []string) error {
			if days < 1 {
				return fault.New(fault.Usage, fmt.Sprintf("--days %d: at least 1", days), nil)
			}
			return a.makeCert(hosts, dir, time.Duration(days)*24*time.Hour, force)
		},
	}
	c.Flags().StringVar(&dir, "dir", ".", "`folder` for the files")
	c.Flags().IntVar(&days, "days", 365, "how long it is good for")
	c.Flags().BoolVar(&force, "force", false, "write over files that are there")
	return c
}

func (a *app) makeCert(hosts []string, dir string, life time.Duration, force bool) error {
	progress := a.progress("making a key")
	defer progress.Done()
	cert, key, err := credential.Certificate(hosts, a.Now(), life)
	if err != nil {
		return fault.New(fault.Usage, "make the certificate", err)
	}
	progress.Done()
	keyFile, certFile := filepath.Join(dir, "ufm.key"), filepath.Join(dir, "ufm.crt")
	if err := writeNew(keyFile, key, 0o600, force); err != nil {
		return err
	}
	if err := writeNew(certFile, cert, 0o644, force); err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "%s and %s, good for %d days. Put them to use:\n", keyFile, certFile, int(life.Hours()/24))
	for _, line := range append(credential.Install(keyFile, certFile), "# then, where kubectl works:", a.secretCommand(hosts[0], certFile)) {
		fmt.Fprintf(a.Out, "  %s\n", line)
	}
	return nil
}

func (a *app) secretCommand(host, certFile string) string {
	namespace := ""
	if a.options.Namespace != "" {
		namespace = " --controller-namespace " + a.options.Namespace
	}
	return fmt.Sprintf("ibfabric ufm secret%s --ufm-address %s --username admin --certificate %s --apply", namespace, host, certFile)
}

// writeNew writes a file that is not there yet, unless force says that it may be.
func writeNew(name string, text []byte, mode os.FileMode, force bool) error {
	how := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) { // an old file keeps its mode
			return fault.New(fault.Failed, "replace "+name, err)
		}
	}
	f, err := os.OpenFile(name, how, mode)
	if os.IsExist(err) {
		return fault.New(fault.Usage, name+" is there already", nil, "# move it away, or write over it with --force")
	}
	if err != nil {
		return fault.New(fault.Failed, "write "+name, err)
	}
	_, err = f.Write(text)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fault.New(fault.Failed, "write "+name, err)
	}
	return nil
}
