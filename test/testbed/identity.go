package testbed

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/ibfabric/ibfabric/test/authority"
)

// Names of the files in the cluster's folder that its programs read.
const (
	caFile         = "ca.crt"
	servingCert    = "apiserver.crt"
	servingKey     = "apiserver.key"
	accountKeyFile = "service-account.key"
)

// writeFiles writes what does not depend on the port.
func (c *Cluster) writeFiles() error {
	serving, err := c.pki.server()
	if err != nil {
		return err
	}
	_, account, err := authority.NewKey()
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{
		caFile: c.pki.PEM(), servingCert: serving.Cert, servingKey: serving.Key, accountKeyFile: account,
	} {
		if err := os.WriteFile(c.file(name), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// connect makes the administrator's clients, once the port is known. Certificates are in
// memory, not in files: client-go would watch files by a goroutine that never ends.
func (c *Cluster) connect() error {
	admin, err := c.pki.client("testbed-admin", "system:masters")
	if err != nil {
		return err
	}
	if err := c.writeKubeconfig(c.Kubeconfig(), "testbed-admin", admin); err != nil {
		return err
	}
	c.config = &rest.Config{
		Host:            c.url(),
		TLSClientConfig: rest.TLSClientConfig{CAData: c.pki.PEM(), CertData: admin.Cert, KeyData: admin.Key},
		QPS:             -1,
		UserAgent:       "testbed",
	}
	if c.applier, err = newApplier(c.config); err != nil {
		return fmt.Errorf("making the client for Apply: %w", err)
	}
	config := c.Config()
	config.ContentType = "application/vnd.kubernetes.protobuf" // a third of JSON's cost, and built-in types have it
	c.client, err = kubernetes.NewForConfig(config)
	return err
}

func (c *Cluster) url() string { return "https://" + c.port.address() }

// KubeconfigFor writes a kubeconfig for an identity without rights of its own, for tests of
// RBAC, and gives its path. A pod's identity is
//
//	KubeconfigFor("system:serviceaccount:NAMESPACE:NAME", "system:serviceaccounts", "system:serviceaccounts:NAMESPACE")
func (c *Cluster) KubeconfigFor(user string, groups ...string) (string, error) {
	identity, err := c.pki.client(user, groups...)
	if err != nil {
		return "", err
	}
	file := c.file("kubeconfig-" + strings.NewReplacer(":", "-", "/", "-").Replace(user))
	return file, c.writeKubeconfig(file, user, identity)
}

func (c *Cluster) writeKubeconfig(file, user string, id authority.Pair) error {
	config := clientcmdapi.NewConfig()
	config.Clusters["testbed"] = &clientcmdapi.Cluster{Server: c.url(), CertificateAuthorityData: c.pki.PEM()}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: id.Cert, ClientKeyData: id.Key}
	config.Contexts["testbed"] = &clientcmdapi.Context{Cluster: "testbed", AuthInfo: user}
	config.CurrentContext = "testbed"
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		return fmt.Errorf("writing the kubeconfig of %s: %w", user, err)
	}
	return nil
}
