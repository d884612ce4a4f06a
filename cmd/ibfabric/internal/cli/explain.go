package cli

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/client"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

func (a *app) explain() *cobra.Command {
	c := &cobra.Command{
		Use: "explain POD", Short: "All of one pod: what it wants, has and lacks, in ledger, annotation, UFM and on its node",
		Long: `explain shows what is known of one pod, for each of its interfaces: the partitions that it asks for and
whether it may, its GUID, its row in the ledger, what its annotation says, how UFM has it, and the VF
that Multus reported. It says what is missing, and what has happened since when. It exits with 1 when
something is missing.`,
		Example: `  ibfabric explain train-0 -n team-a
  ibfabric explain team-a/train-0`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cluster, err := a.options.Cluster()
			if err != nil {
				return err
			}
			namespace, name, err := podArgument(args[0], cluster.Namespace)
			if err != nil {
				return err
			}
			var pod api.Pod
			err = a.askIn(cluster, func(c *client.Client, _ *show.Progress) error {
				pod, err = client.Get[api.Pod](cmd.Context(), c, client.Path(api.PathPod, "namespace", namespace, "name", name), api.Query{})
				return err
			})
			if err != nil {
				return err
			}
			if err := a.print(pod, func(w io.Writer) error { return a.writePod(w, pod) }); err != nil {
				return err
			}
			if len(pod.Missing) > 0 || pod.State == api.PodRefused {
				return fault.ErrFound
			}
			return nil
		},
	}
	a.outputFlag(c)
	return c
}

// podArgument reads a pod's name, with its namespace or without.
func podArgument(text, namespace string) (ns, name string, err error) {
	text = strings.TrimPrefix(text, "pod/")
	if before, after, ok := strings.Cut(text, "/"); ok {
		namespace, text = before, after
	}
	if namespace == "" || text == "" || strings.Contains(text, "/") {
		return "", "", fault.New(fault.Usage, "the pod's name cannot be read", nil, "# write NAME, or NAMESPACE/NAME")
	}
	return namespace, text, nil
}
