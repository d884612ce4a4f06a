package migrate

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/facts"
)

// The variables of ib-kubernetes.
const (
	smPlugin       = "DAEMON_SM_PLUGIN"
	periodic       = "DAEMON_PERIODIC_UPDATE"
	rangeStart     = "GUID_POOL_RANGE_START"
	rangeEnd       = "GUID_POOL_RANGE_END"
	ufmUsername    = "UFM_USERNAME"
	ufmPassword    = "UFM_PASSWORD"
	ufmAddress     = "UFM_ADDRESS"
	ufmScheme      = "UFM_HTTP_SCHEMA"
	ufmPort        = "UFM_PORT"
	ufmCertificate = "UFM_CERTIFICATE"
)

// Where a variable gets its value from.
const (
	inDeployment = "Deployment"
	inConfigMap  = "ConfigMap"
	inSecret     = "Secret"
	inPolicy     = "NicClusterPolicy"
)

// variable is one setting of ib-kubernetes.
type variable struct {
	name  string // of the environment
	field string // of the NicClusterPolicy that it comes from, or ""
	kind  string // where its value stands
	at    types.NamespacedName
	key   string // in the ConfigMap or Secret
	// value is "" where it is not known, and always for what is a credential.
	value string
	set   bool // it has a value, known or not
}

func isCredential(name string) bool { return name == ufmUsername || name == ufmPassword }

// label is what a person knows the setting by.
func (v variable) label() string {
	if v.field != "" {
		return v.field
	}
	return v.name
}

func (v variable) where() string {
	switch {
	case v.kind == "":
		return ""
	case v.key != "" && v.key != v.name:
		return fmt.Sprintf("%s %s, key %s", v.kind, v.at.Name, v.key)
	}
	return v.kind + " " + v.at.Name
}

// settings are those of one ib-kubernetes.
type settings struct {
	namespace string
	policy    string // the NicClusterPolicy that runs it, or ""
	byName    map[string]variable
	order     []string
}

func (s settings) get(name string) variable {
	if v, ok := s.byName[name]; ok {
		return v
	}
	return variable{name: name}
}

func (s *settings) put(v variable) {
	if isCredential(v.name) {
		v.value = ""
	}
	if _, again := s.byName[v.name]; !again {
		s.order = append(s.order, v.name)
	}
	s.byName[v.name] = v
}

// settings are those that ib-kubernetes works by: the NicClusterPolicy's where one runs it,
// since network-operator writes the Deployment anew, else the Deployment's. ok is false
// where there is neither.
func (f *Facts) settings() (s settings, ok bool) {
	s = settings{namespace: f.namespace(), byName: map[string]variable{}}
	if policy, spec := f.policy(); policy != "" {
		s.policy = policy
		f.readPolicy(&s, spec)
		return s, true
	}
	for i := range f.Incumbents.Value {
		d := &f.Incumbents.Value[i]
		for j := range d.Spec.Template.Spec.Containers {
			if c := &d.Spec.Template.Spec.Containers[j]; c.Name == theirName || len(d.Spec.Template.Spec.Containers) == 1 {
				f.readContainer(&s, c)
				return s, true
			}
		}
	}
	return s, false
}

// namespace is where ib-kubernetes is, or was as far as can be seen.
func (f *Facts) namespace() string {
	policy, _ := f.policy()
	switch {
	case len(f.Incumbents.Value) > 0:
		return f.Incumbents.Value[0].Namespace
	case len(f.Controllers.Value) > 0:
		return f.Controllers.Value[0].Namespace
	case policy != "":
		return operatorDefault
	}
	return "kube-system"
}

// policy is the NicClusterPolicy that has network-operator run ib-kubernetes.
func (f *Facts) policy() (name string, spec map[string]any) {
	for _, p := range f.Policies.Value {
		if spec, has, _ := unstructured.NestedMap(p.Object, "spec", "ibKubernetes"); has {
			return p.GetName(), spec
		}
	}
	return "", nil
}

// readPolicy takes the fields as network-operator writes them into the Deployment.
func (f *Facts) readPolicy(s *settings, spec map[string]any) {
	put := func(name, field, value string, set bool) {
		s.put(variable{name: name, field: "ibKubernetes." + field, kind: inPolicy, at: types.NamespacedName{Name: s.policy}, value: value, set: set})
	}
	text := func(field string) string { v, _ := spec[field].(string); return v }
	s.put(variable{name: smPlugin, kind: inDeployment, at: types.NamespacedName{Namespace: s.namespace, Name: theirName}, value: "ufm", set: true})
	seconds := ""
	if n, ok := spec["periodicUpdateSeconds"]; ok {
		seconds = fmt.Sprint(n)
	}
	put(periodic, "periodicUpdateSeconds", seconds, seconds != "")
	put(rangeStart, "pKeyGUIDPoolRangeStart", text("pKeyGUIDPoolRangeStart"), text("pKeyGUIDPoolRangeStart") != "")
	put(rangeEnd, "pKeyGUIDPoolRangeEnd", text("pKeyGUIDPoolRangeEnd"), text("pKeyGUIDPoolRangeEnd") != "")
	if text("ufmSecret") == "" {
		return
	}
	for _, name := range []string{ufmUsername, ufmPassword, ufmAddress, ufmScheme, ufmPort, ufmCertificate} {
		f.fromSecret(s, name, text("ufmSecret"), name)
	}
}

func (f *Facts) readContainer(s *settings, c *corev1.Container) {
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef != nil {
			at := types.NamespacedName{Namespace: s.namespace, Name: from.ConfigMapRef.Name}
			for _, key := range sortedKeys(f.ConfigMaps[at].Value) {
				f.fromConfigMap(s, from.Prefix+key, at.Name, key)
			}
		}
		if from.SecretRef != nil {
			at := types.NamespacedName{Namespace: s.namespace, Name: from.SecretRef.Name}
			for _, key := range f.Secrets[at].Value.Keys {
				f.fromSecret(s, from.Prefix+key, at.Name, key)
			}
		}
	}
	for _, e := range c.Env {
		switch {
		case e.ValueFrom == nil:
			s.put(variable{name: e.Name, kind: inDeployment, at: types.NamespacedName{Namespace: s.namespace, Name: theirName}, value: e.Value, set: e.Value != ""})
		case e.ValueFrom.ConfigMapKeyRef != nil:
			f.fromConfigMap(s, e.Name, e.ValueFrom.ConfigMapKeyRef.Name, e.ValueFrom.ConfigMapKeyRef.Key)
		case e.ValueFrom.SecretKeyRef != nil:
			f.fromSecret(s, e.Name, e.ValueFrom.SecretKeyRef.Name, e.ValueFrom.SecretKeyRef.Key)
		}
	}
}

func (f *Facts) fromConfigMap(s *settings, name, configMap, key string) {
	at := types.NamespacedName{Namespace: s.namespace, Name: configMap}
	value := f.ConfigMaps[at].Value[key]
	s.put(variable{name: name, kind: inConfigMap, at: at, key: key, value: value, set: value != ""})
}

func (f *Facts) fromSecret(s *settings, name, secret, key string) {
	at := types.NamespacedName{Namespace: s.namespace, Name: secret}
	v := variable{name: name, kind: inSecret, at: at, key: key, set: slices.Contains(f.Secrets[at].Value.Keys, key)}
	switch key { // of the others the value is not known here
	case ufmAddress:
		v.value = f.Secrets[at].Value.Address
	case ufmScheme:
		v.value = f.Secrets[at].Value.Scheme
	case ufmPort:
		v.value = f.Secrets[at].Value.Port
	case ufmCertificate:
		v.value = string(f.Secrets[at].Value.Certificate)
	}
	s.put(v)
}

// named are the ConfigMaps and Secrets that ib-kubernetes takes settings from.
func (f *Facts) named() (configMaps, secrets []types.NamespacedName) {
	add := func(list *[]types.NamespacedName, namespace, name string) {
		if key := (types.NamespacedName{Namespace: namespace, Name: name}); name != "" && !slices.Contains(*list, key) {
			*list = append(*list, key)
		}
	}
	if policy, spec := f.policy(); policy != "" {
		name, _ := spec["ufmSecret"].(string)
		add(&secrets, f.namespace(), name)
		return nil, secrets
	}
	for _, d := range f.Incumbents.Value {
		for _, c := range d.Spec.Template.Spec.Containers {
			for _, from := range c.EnvFrom {
				if from.ConfigMapRef != nil {
					add(&configMaps, d.Namespace, from.ConfigMapRef.Name)
				}
				if from.SecretRef != nil {
					add(&secrets, d.Namespace, from.SecretRef.Name)
				}
			}
			for _, e := range c.Env {
				if e.ValueFrom != nil && e.ValueFrom.ConfigMapKeyRef != nil {
					add(&configMaps, d.Namespace, e.ValueFrom.ConfigMapKeyRef.Name)
				}
				if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
					add(&secrets, d.Namespace, e.ValueFrom.SecretKeyRef.Name)
				}
			}
		}
	}
	return configMaps, secrets
}

// unread are the ConfigMaps and Secrets that could not be read, or are not there.
func (f *Facts) unread() (rows []Row) {
	configMaps, secrets := f.named()
	say := func(kind string, key types.NamespacedName, err error) {
		switch {
		case err == nil:
		case facts.Absent(err) && kind == "configmap": // its keys are optional but for one, which is told of
			rows = append(rows, row(Info, "settings", fmt.Sprintf("%s %s is not there", kind, key)))
		case facts.Absent(err):
			rows = append(rows, row(Mend, "settings", fmt.Sprintf("%s %s is not there: ibfabric reads UFM's address and password in it", kind, key), makeSecret(key, "ADDRESS")))
		default:
			rows = append(rows, row(Mend, "settings", fmt.Sprintf("%s %s cannot be read: %v", kind, key, err),
				"# an administrator lets you, or runs this command:", fmt.Sprintf("kubectl -n %s auth can-i get %s/%s", key.Namespace, kind, key.Name)))
		}
	}
	for _, key := range configMaps {
		say("configmap", key, f.ConfigMaps[key].Err)
	}
	for _, key := range secrets {
		say("secret", key, f.Secrets[key].Err)
	}
	return rows
}

func makeSecret(at types.NamespacedName, address string) string {
	return fmt.Sprintf("ibfabric ufm secret --controller-namespace %s --name %s --ufm-address %s --username USER --certificate ufm.crt --apply", at.Namespace, at.Name, address)
}
