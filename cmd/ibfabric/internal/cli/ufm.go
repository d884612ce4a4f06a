package cli

import "github.com/spf13/cobra"

func (a *app) ufm() *cobra.Command {
	c := &cobra.Command{
		Use: "ufm", Short: "What UFM and the controller share: its certificate and the Secret",
		Args: cobra.NoArgs,
	}
	c.AddCommand(a.ufmCert(), a.ufmSecret())
	return c
}
