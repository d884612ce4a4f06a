//go:build linux

package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/guid"
)

// nodeSocket names the node that a plugin's program is on.
const nodeSocket = "IBFABRIC_COMPAT_NODE"

// forward is the test program as a CNI plugin: it hands its call to the node.
func forward(name, socket string) int {
	c := call{Plugin: name, Env: map[string]string{}}
	for _, v := range os.Environ() {
		if key, value, _ := strings.Cut(v, "="); strings.HasPrefix(key, "CNI_") {
			c.Env[key] = value
		}
	}
	config, err := io.ReadAll(os.Stdin)
	c.Config = config
	conn, dialErr := net.Dial("unix", socket)
	if err = errors.Join(err, dialErr); err == nil {
		err = errors.Join(json.NewEncoder(conn).Encode(c), json.NewDecoder(conn).Decode(&c))
	}
	if err != nil {
		c.Error = types.NewError(types.ErrInternal, fmt.Sprintf("asking the test's node: %v", err), "")
	}
	if c.Error != nil {
		_ = c.Error.Print()
		return 1
	}
	_, _ = os.Stdout.Write(c.Result)
	return 0
}

// sandbox is a pod's on a node.
type sandbox struct {
	pod     *corev1.Pod
	ns      host.NetNS
	devices map[string][]host.PCI // by resource, as the kubelet gave them to the pod
}

// sandbox makes one for a pod. The subnet manager has done what UFM told it by then.
func (n *node) sandbox(pod *corev1.Pod, devices map[string][]host.PCI) *sandbox {
	n.t.Helper()
	for _, e := range n.elements(pod) {
		if e.guid() == "" {
			continue
		}
		g, err := guid.Parse(e.guid())
		if err != nil {
			n.t.Fatal(err)
		}
		n.kernel.Program(g, n.table(g)...)
	}
	return &sandbox{pod, n.kernel.NewNetNS(pod.Name), devices}
}

// environment is that of a call, as containerd makes it.
func (n *node) environment(s *sandbox, command, ifname string) []string {
	return append(os.Environ(),
		nodeSocket+"="+n.socket(), "CNI_COMMAND="+command, "CNI_CONTAINERID="+string(s.pod.UID), "CNI_NETNS="+string(s.ns),
		"CNI_IFNAME="+ifname, "CNI_PATH="+n.bin, fmt.Sprintf("CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=%s;K8S_POD_NAME=%s;K8S_POD_INFRA_CONTAINER_ID=%[3]s;K8S_POD_UID=%[3]s",
			s.pod.Namespace, s.pod.Name, s.pod.UID))
}

// direct calls a plugin without Multus.
func (n *node) direct(s *sandbox, command, name, ifname string, config any) error {
	n.t.Helper()
	text, err := json.Marshal(config)
	if err != nil {
		n.t.Fatal(err)
	}
	cmd := exec.CommandContext(n.t.Context(), filepath.Join(n.bin, name))
	cmd.Env, cmd.Stdin = n.environment(s, command, ifname), bytes.NewReader(text)
	_, err = output(cmd)
	return err
}

// output runs a plugin. Its error is what it printed, where that is one of the protocol.
func output(cmd *exec.Cmd) ([]byte, error) {
	var out, words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &words
	err := cmd.Run()
	var said types.Error
	if err != nil && json.Unmarshal(out.Bytes(), &said) == nil && said.Msg != "" {
		return nil, &said
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w: %s%s", filepath.Base(cmd.Path), err, out.String(), words.String())
	}
	return out.Bytes(), nil
}

// of are the calls of a plugin with a command, in their order.
func (n *node) of(name, command string) (found []*call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.calls {
		if c.Plugin == name && c.Env["CNI_COMMAND"] == command {
			found = append(found, c)
		}
	}
	return found
}

// config is what a plugin got to read.
type config struct {
	Name          string `json:"name"`
	DeviceID      string `json:"deviceID"`
	PKey          string `json:"pkey"`
	RuntimeConfig struct {
		InfinibandGUID string `json:"infinibandGUID"`
	} `json:"runtimeConfig"`
	Args struct {
		CNI map[string]string `json:"cni"`
	} `json:"args"`
}

func (n *node) config(c *call) (read config) {
	n.t.Helper()
	if err := json.Unmarshal(c.Config, &read); err != nil {
		n.t.Fatalf("%s: %v", c.Config, err)
	}
	return read
}
