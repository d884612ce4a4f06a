package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/credential"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
)

// secretFlags say where the parts of the Secret are.
type secretFlags struct {
	name                         string
	addresses                    []string
	username                     string
	passwordFile, tokenFile      string
	passwordStdin, tokenStdin    bool
	certificate                  string
	clientCertificate, clientKey string
	apply                        bool
}

func (a *app) ufmSecret() *cobra.Command {
	var f secretFlags
	c := &cobra.Command{
		Use: "secret", Short: "Make the Secret with UFM's address, credentials and certificate",
		Long: `secret prints the Secret that the controller mounts (--ufm-secret-dir), or applies it. A password or
token comes from a file, from stdin, or from a question: never from an argument, which every user of the
machine can read. It lands in the namespace of --controller-namespace, by default kube-system.

What is printed has the password in it. Print it into a pipe, or apply it.`,
		Example: `  ibfabric ufm secret --ufm-address 172.16.10.10 --username admin --certificate ufm.crt --apply
  ibfabric ufm secret --ufm-address ufm.example.com --token-file token --certificate ufm.crt | kubeseal`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			u, err := a.readUFM(f)
			if err != nil {
				return err
			}
			namespace := a.options.Namespace
			if namespace == "" {
				namespace = "kube-system"
			}
			secret, warnings, err := u.Secret(namespace, f.name)
			if err != nil {
				return fault.New(fault.Usage, "make the Secret", err)
			}
			for _, w := range warnings {
				fmt.Fprintf(a.Err, "warning: %s\n", w)
			}
			if f.apply {
				return a.applySecret(cmd.Context(), secret)
			}
			text, err := yaml.Marshal(secret)
			if err != nil {
				return fmt.Errorf("write the Secret: %w", err)
			}
			_, err = a.Out.Write(text)
			return err
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.name, "name", "ib-kubernetes-ufm-secret", "`name` of the Secret: ufm.secret of the chart's values")
	flags.StringSliceVar(&f.addresses, "ufm-address", nil, "`host` of UFM; several, by commas, are tried in turn")
	flags.StringVar(&f.username, "username", "", "`user` of UFM")
	flags.StringVar(&f.passwordFile, "password-file", "", "`file` with the password")
	flags.BoolVar(&f.passwordStdin, "password-stdin", false, "read the password from stdin")
	flags.StringVar(&f.tokenFile, "token-file", "", "`file` with a token of UFM, instead of user and password")
	flags.BoolVar(&f.tokenStdin, "token-stdin", false, "read a token of UFM from stdin")
	flags.StringVar(&f.certificate, "certificate", "", "`file` with UFM's certificate, or with that of who signed it")
	flags.StringVar(&f.clientCertificate, "client-certificate", "", "`file` with a certificate that UFM knows us by")
	flags.StringVar(&f.clientKey, "client-key", "", "`file` with its key")
	flags.BoolVar(&f.apply, "apply", false, "write it into the cluster, and print nothing of it")
	c.MarkFlagsMutuallyExclusive("password-file", "password-stdin", "token-file", "token-stdin", "client-certificate")
	c.MarkFlagsRequiredTogether("client-certificate", "client-key")
	return c
}

// readUFM reads all parts. A password that nothing was said of is asked for.
func (a *app) readUFM(f secretFlags) (u credential.UFM, err error) {
	u.Addresses, u.Username = f.addresses, f.username
	var failed error
	file := func(name string) []byte {
		if name == "" {
			return nil
		}
		text, err := os.ReadFile(name)
		failed = errors.Join(failed, err)
		return text
	}
	u.Trust, u.ClientCert, u.ClientKey = file(f.certificate), file(f.clientCertificate), file(f.clientKey)
	u.Password, u.Token = strings.TrimSpace(string(file(f.passwordFile))), strings.TrimSpace(string(file(f.tokenFile)))
	switch {
	case f.passwordStdin:
		u.Password, err = a.secretLine()
	case f.tokenStdin:
		u.Token, err = a.secretLine()
	case f.username != "" && f.passwordFile == "" && f.tokenFile == "" && f.clientCertificate == "":
		u.Password, err = a.askPassword()
	}
	if err = errors.Join(failed, err); err != nil {
		return u, fault.New(fault.Usage, "read what the Secret is made of", err)
	}
	return u, nil
}

func (a *app) secretLine() (string, error) {
	line, err := bufio.NewReader(a.In).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read stdin: %w", err)
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", errors.New("stdin was empty")
	}
	return line, nil
}

func (a *app) askPassword() (string, error) {
	if !a.Asks {
		return "", errors.New("there is nobody to ask for the password: give --password-file or --password-stdin")
	}
	fmt.Fprint(a.Err, "Password of UFM: ")
	text, err := a.ReadPassword()
	fmt.Fprintln(a.Err)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return text, nil
}

func (a *app) applySecret(ctx context.Context, s *corev1.Secret) error {
	cluster, err := a.options.Cluster()
	if err != nil {
		return err
	}
	where := fmt.Sprintf("write secret %s/%s", s.Namespace, s.Name)
	// With an apply, what an earlier one wrote and this one does not have goes: a token is not
	// left standing beside a password.
	apply := corev1ac.Secret(s.Name, s.Namespace).WithType(s.Type).WithData(s.Data)
	err = cluster.API.Apply(ctx, apply, client.FieldOwner("ibfabric"), client.ForceOwnership)
	switch {
	case err == nil:
	case apierrors.IsForbidden(err):
		return fault.New(fault.Forbidden, where, errors.New(string(apierrors.ReasonForError(err))), fmt.Sprintf("kubectl auth can-i patch secrets -n %s     # an administrator lets you, or pipes the output into kubectl apply -f -", s.Namespace))
	default:
		return fault.New(fault.Failed, where, errors.New(string(apierrors.ReasonForError(err))), "kubectl get namespace "+s.Namespace)
	}
	fmt.Fprintf(a.Out, "secret/%s in namespace %s\n", s.Name, s.Namespace)
	return nil
}
