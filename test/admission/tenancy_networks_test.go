package admission

import (
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
)

const (
	askForAGrant = "ask its owner for a label that spec.namespaces selects"
	pinInThePod  = "pin a GUID in the pod's networks annotation"
	leaveOne     = "leave one of them"
)

// byNetwork makes a network of b's, and a pod on it. GUID in a config is that of a's pod.
func byNetwork(config string, edit ...func(*tenants, *nadv1.NetworkAttachmentDefinition)) func(*tenants, string) error {
	return func(x *tenants, name string) error {
		nad := x.netOf(x.b, name, x.say(config))
		for _, e := range edit {
			e(x, nad)
		}
		if err := x.bob.Create(x.ctx(), nad); err != nil {
			return err
		}
		return x.bob.Create(x.ctx(), x.thief(name, name))
	}
}

// thief is a pod of b's. It stays away from the scheduler, which calls no CNI here.
func (x *tenants) thief(name, networks string, edit ...func(*corev1.Pod)) *corev1.Pod {
	pod := x.draft(name, networks, edit...)
	pod.Namespace = x.b
	if pod.Spec.NodeName == "" {
		out(pod)
	}
	return pod
}

func annotated(key, value string) func(*tenants, *nadv1.NetworkAttachmentDefinition) {
	return func(x *tenants, nad *nadv1.NetworkAttachmentDefinition) {
		nad.Annotations = map[string]string{key: strings.ReplaceAll(value, "PARTITION", x.ns)}
	}
}

func unlabelled(_ *tenants, nad *nadv1.NetworkAttachmentDefinition) { nad.Labels = nil }

func anothers(_ *tenants, nad *nadv1.NetworkAttachmentDefinition) {
	nad.Labels = map[string]string{"fabric": "another"}
}

func networkPaths() map[string]path {
	ungranted := func(try func(*tenants, string) error) path {
		return path{try: try, refused: askForAGrant, toldToo: askForAGrant}
	}
	given := func(config string, edit ...func(*tenants, *nadv1.NetworkAttachmentDefinition)) path {
		return path{try: byNetwork(config, edit...), refused: pinInThePod, open: true}
	}
	const static = `{"type":"ib-sriov","ibKubernetesEnabled":false,"guid":"GUID"}`
	return map[string]path{
		"network with the pkey":                       ungranted(byNetwork(infiniBand("0x30"))),
		"network with the pkey as a number":           ungranted(byNetwork(`{"type":"ib-sriov","pkey":48}`)),
		"network with the pkey in upper-case keys":    ungranted(byNetwork(`{"TYPE":"ib-sriov","PKEY":"0x30"}`)),
		"network with the pkey in escaped keys":       ungranted(byNetwork(`{"type":"ib\u002dsriov","p\u006bey":"0x\u00330"}`)),
		"network with the pkey that waits for nobody": ungranted(byNetwork(`{"type":"ib-sriov","ibKubernetesEnabled":false,"pkey":"0x30"}`)),
		"network with the pkey in a chain":            ungranted(byNetwork(`{"plugins":[{"type":"tuning"},{"type":"ib-sriov","pkey":"0x30"}]}`)),
		"network with the name of the partition":      ungranted(byNetwork(`{"type":"ib-sriov"}`, annotated(attach.PartitionAnnotation, "PARTITION"))),
		"network with the pkey besides":               ungranted(byNetwork(infiniBand("0x50"), annotated(attach.AlsoAnnotation, "0x30:limited"))),
		"network with the partition besides":          ungranted(byNetwork(infiniBand("0x50"), annotated(attach.AlsoAnnotation, "PARTITION"))),
		"network with the pkey twice": {
			try: byNetwork(`{"type":"ib-sriov","pkey":"0x50","pkey":"0x30"}`), refused: leaveOne, toldToo: leaveOne,
		},
		"network with the pkey twice by case": {
			try: byNetwork(`{"type":"ib-sriov","pkey":"0x50","PKey":"0x30"}`), refused: leaveOne, toldToo: leaveOne,
		},
		"network with two plugins": {
			try:     byNetwork(`{"plugins":[{"type":"ib-sriov","pkey":"0x50"},{"type":"ib-sriov","pkey":"0x30"}]}`),
			refused: leaveOne, toldToo: leaveOne,
		},
		"network with the pkey and no fabric":       {try: byNetwork(infiniBand("0x30"), unlabelled)},
		"network with the pkey of another fabric":   {try: byNetwork(infiniBand("0x30"), anothers)},
		"network that is labelled later":            ungranted(labelledLater),
		"network with a guid that waits for nobody": given(static),
		"network with a guid":                       given(`{"type":"ib-sriov","pkey":"0x50","ibKubernetesEnabled":true,"guid":"GUID"}`),
		"network with a guid and no fabric":         given(static, unlabelled),
		"network with a guid of another fabric":     given(static, anothers),
		"network with a guid in a chain":            given(`{"plugins":[{"type":"ib-sriov","guid":"GUID"},{"type":"tuning"}]}`),
		"network with a guid in upper case":         given(`{"type":"ib-sriov","Guid":"GUID"}`),
		"network with a guid in escaped keys":       given(`{"type":"ib-sriov","gu\u0069d":"GUID"}`),
		"network with a guid twice":                 given(`{"type":"ib-sriov","guid":"","Guid":"GUID"}`),
		"network with a guid in runtimeConfig":      given(`{"type":"ib-sriov","runtimeConfig":{"infinibandGUID":"GUID"}}`),
		"network with a guid in args":               given(`{"type":"ib-sriov","args":{"cni":{"guid":"GUID","mellanox.infiniband.app":"configured"}}}`),
		"network with the pkey in args": {
			try:     byNetwork(`{"type":"ib-sriov","pkey":"0x50","ibKubernetesEnabled":true,"args":{"cni":{"pkey":"0x30"}}}`),
			refused: pinInThePod,
		},
	}
}

// labelledLater makes a network nobody's, and then this fabric's.
func labelledLater(x *tenants, name string) error {
	nad := x.netOf(x.b, name, infiniBand("0x30"))
	nad.Labels = nil
	if err := x.bob.Create(x.ctx(), nad); err != nil {
		return err
	}
	if err := x.bob.Create(x.ctx(), x.thief(name, name)); err != nil {
		return err
	}
	nad.Labels = map[string]string{"fabric": x.ns}
	return x.bob.Update(x.ctx(), nad)
}
