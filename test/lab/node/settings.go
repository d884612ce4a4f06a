//go:build linux

package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/ibfabric/ibfabric/test/lab/node/control"
)

const (
	kubeletFile       = "/etc/kubelet.yaml"
	kubeletKubeconfig = "/etc/kubelet.kubeconfig"
	multusKubeconfig  = "/etc/multus.kubeconfig"
)

// files are the node's settings, once it has its name.
func (n *Node) files() ([]control.File, error) {
	cert, key, err := servingPair(n.config.Name)
	if err != nil {
		return nil, fmt.Errorf("making the kubelet's certificate: %w", err)
	}
	podNetwork := fmt.Sprintf("10.244.%d.0/24", n.config.Number)
	var files []control.File
	for path, text := range map[string]string{
		"/etc/kubelet.crt":                  string(cert),
		"/etc/kubelet.key":                  string(key),
		kubeletFile:                         kubeletConfig,
		kubeletKubeconfig:                   kubeconfig(n.door.api(n.gateway(), kubeletDoor)),
		multusKubeconfig:                    kubeconfig(n.door.api(n.gateway(), multusDoor)),
		"/etc/cni/net.d/00-multus.conf":     multusConfig,
		"/etc/cni/net.d/10-podnet.conflist": fmt.Sprintf(podNetworkConfig, podNetwork),
	} {
		files = append(files, control.File{Path: path, Mode: 0o600, Text: []byte(text)})
	}
	return files, nil
}

// servingPair is for the kubelet's own server. It would make one, and takes six seconds
// for an RSA key when it is emulated.
func servingPair(name string) (cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	text, err := x509.MarshalECPrivateKey(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: text}), err
}

// containerdConfig is for containerd 1.7.
const containerdConfig = `version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
`

// kubeletConfig reports the node's state every second, for the scheduler to see VFs when
// the device plugin offers them. Nobody speaks to the kubelet's own server.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: ""}}
authorization: {mode: AlwaysAllow}
cgroupDriver: cgroupfs
cgroupRoot: /
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
enforceNodeAllocatable: [pods]
evictionHard: {memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%, imagefs.inodesFree: 1%}
failSwapOn: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
makeIPTablesUtilChains: false
nodeStatusUpdateFrequency: 1s
resolvConf: ""
tlsCertFile: /etc/kubelet.crt
tlsPrivateKeyFile: /etc/kubelet.key
`

const multusConfig = `{"cniVersion":"1.0.0","name":"multus","type":"multus","logLevel":"error","logFile":"/var/log/multus.log",
"confDir":"/etc/cni/net.d","cniDir":"/var/lib/cni/multus","binDir":"/opt/cni/bin","kubeconfig":"` + multusKubeconfig + `","clusterNetwork":"podnet"}
`

const podNetworkConfig = `{"cniVersion":"1.0.0","name":"podnet","plugins":[{"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,
"ipam":{"type":"host-local","ranges":[[{"subnet":"%s"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}
`

func kubeconfig(server string) string {
	text, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "lab",
		"clusters": []any{map[string]any{"name": "lab", "cluster": map[string]any{"server": server}}},
		"users":    []any{map[string]any{"name": "lab", "user": map[string]any{}}},
		"contexts": []any{map[string]any{"name": "lab", "context": map[string]any{"cluster": "lab", "user": "lab"}}},
	})
	if err != nil {
		panic(err) // it is made of strings
	}
	return string(text)
}
