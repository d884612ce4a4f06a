package migrate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/pkey"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// other sees to a variable that only some ib-kubernetes have.
func (m *mapping) other(v variable, f *Facts) {
	switch v.name {
	case smPlugin, periodic, rangeStart, rangeEnd, ufmUsername, ufmPassword, ufmAddress, ufmScheme, ufmPort, ufmCertificate:
	case "K8S_NODE", "POD_NAMESPACE", "POD_UID", "DAEMON_SM_PLUGIN_PATH", "UFM_USER": // of its own making
	case "DEFAULT_LIMITED_PARTITION": // Together's
		if v.value != "" {
			m.also(v, f)
		}
	case "ENABLE_IP_OVER_IB", "ENABLE_INDEX0_FOR_PRIMARY_PKEY": // Together's
		annotation := map[string]string{"ENABLE_IP_OVER_IB": attach.IPoIBAnnotation, "ENABLE_INDEX0_FOR_PRIMARY_PKEY": attach.Index0Annotation}[v.name]
		m.add(v, v.value, "", "an annotation of networks: "+annotation)
		if strings.EqualFold(v.value, "false") {
			m.annotate(f, v, annotation, "false")
		}
	default:
		m.add(v, "", "", "ibfabric has no such setting")
	}
}

// also has each network join a second partition, by annotation.
func (m *mapping) also(v variable, f *Facts) {
	p, err := pkey.Parse(v.value)
	if err != nil {
		m.add(v, v.value, "", "refused")
		m.say(Mend, fmt.Sprintf("%s is no PKey: %v", v.name, err), "# write the partition into the networks' annotation "+attach.AlsoAnnotation)
		return
	}
	m.add(v, v.value, "", "an annotation of networks: "+attach.AlsoAnnotation)
	m.annotate(f, v, attach.AlsoAnnotation, p.String()+":limited")
}

// annotate tells of networks that lack an annotation.
func (m *mapping) annotate(f *Facts, v variable, annotation, value string) {
	var lacking []string
	for _, nad := range f.Networks.Value {
		if net, _ := read(nad); net.InfiniBand && len(net.Claims) > 0 && nad.Annotations[annotation] == "" {
			lacking = append(lacking, fmt.Sprintf("kubectl -n %s annotate network-attachment-definitions %s %s=%s", nad.Namespace, nad.Name, annotation, value))
		}
	}
	if len(lacking) > 0 {
		m.rows = append(m.rows, row(Mend, "networks", fmt.Sprintf("%s holds for all networks there; here a network says it", v.name), lacking...))
	}
}

// fieldFate is what becomes of the fields of a NicClusterPolicy that are not about
// ib-kubernetes. docs/migrate-from-ib-kubernetes.md has the same table.
func fieldFate() map[string]string {
	return map[string]string{
		"ofedDriver":                  "stays: ibfabric uses the driver",
		"sriovDevicePlugin":           "stays: it offers the VFs",
		"rdmaSharedDevicePlugin":      "stays: what it shares has no VF and no GUID of its own",
		"secondaryNetwork.multus":     "stays: it calls ibfabric's plugins",
		"secondaryNetwork.cniPlugins": "stays: host-local and others are called for addresses",
		"secondaryNetwork.ipoib":      "stays: ipoib-cni works on PFs, which ibfabric does not touch",
		"secondaryNetwork.ipamPlugin": "stays: whereabouts is called for addresses",
		"nvIpam":                      "stays: nv-ipam is called for addresses",
		"nicFeatureDiscovery":         "stays",
		"nicConfigurationOperator":    "stays",
		"docaTelemetryService":        "stays",
		"maintenanceOperator":         "stays",
		"spectrumXOperator":           "stays",
		"tolerations":                 "node.tolerations, which tolerate everything already",
	}
}

// policies are the other fields of the NicClusterPolicies.
func (m *mapping) policies(f *Facts) {
	for _, p := range f.Policies.Value {
		spec, _, _ := unstructured.NestedMap(p.Object, "spec")
		for _, field := range sortedKeys(spec) {
			inner, _ := spec[field].(map[string]any)
			switch field {
			case "ibKubernetes":
				m.images(p.GetName(), inner)
			case "nodeAffinity":
				m.affinity(p.GetName(), inner)
			case "secondaryNetwork":
				for _, sub := range sortedKeys(inner) {
					m.field(p.GetName(), field+"."+sub)
				}
			default:
				m.field(p.GetName(), field)
			}
		}
	}
}

func (m *mapping) field(policy, field string) {
	note, known := fieldFate()[field]
	if !known {
		note = "not looked at"
	}
	m.settings = append(m.settings, Setting{Name: field, Where: inPolicy + " " + policy, Note: note})
}

// images are the fields of ib-kubernetes' own program.
func (m *mapping) images(policy string, spec map[string]any) {
	for _, own := range [][2]string{
		{"repository", "image.registry is where ibfabric's images are"},
		{"imagePullSecrets", "image.pullSecrets, where ibfabric's images want one"},
		{"containerResources", "controller.resources is right as the chart has it"},
	} {
		if value, has := spec[own[0]]; has && fmt.Sprint(value) != "[]" { // a default of the kind
			m.settings = append(m.settings, Setting{Name: "ibKubernetes." + own[0], Where: inPolicy + " " + policy, Note: own[1]})
		}
	}
}

func (m *mapping) affinity(policy string, field map[string]any) {
	text, err := json.Marshal(field)
	var a corev1.NodeAffinity
	if err == nil {
		err = json.Unmarshal(text, &a)
	}
	if err != nil {
		m.say(Mend, fmt.Sprintf("nodeAffinity of NicClusterPolicy %s cannot be read: %v", policy, err), "kubectl get nicclusterpolicies "+policy+" -o yaml")
		return
	}
	m.values.Node.Affinity = &corev1.Affinity{NodeAffinity: &a}
	m.settings = append(m.settings, Setting{Name: "nodeAffinity", Where: inPolicy + " " + policy, Becomes: "node.affinity"})
}

// hasMachines reports whether virtual machines are on networks.
func (f *Facts) hasMachines() bool {
	return slices.ContainsFunc(f.Pods.Value, func(p corev1.Pod) bool { return p.Labels["kubevirt.io"] == "virt-launcher" })
}
