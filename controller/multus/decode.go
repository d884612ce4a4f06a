package multus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Decode reads a SpiderMultusConfig of either generation: both names of a field count,
// what is not known is kept and warned of. The error tells all that is wrong at once; with
// it, the metadata of the Config and its CNIType are filled as far as they could be read.
func Decode(u *unstructured.Unstructured) (Config, error) {
	c := Config{
		Name:   types.NamespacedName{Namespace: u.GetNamespace(), Name: u.GetName()},
		UID:    u.GetUID(),
		Labels: u.GetLabels(), Annotations: u.GetAnnotations(),
	}
	found := &findings{unknown: map[string]any{}}
	spec, _ := open(nil, map[string]any{"spec": u.Object["spec"]}, found).block("spec")
	spec.at = field.NewPath("spec")
	c.readSpec(spec)
	c.checkAnnotations(found)
	c.Unknown, c.Warnings = found.unknown, found.warnings
	return c, c.fail(found.errs)
}

// fail makes one error of many; a message of more than a few helps nobody.
func (c *Config) fail(errs field.ErrorList) error {
	const most = 6
	if len(errs) == 0 {
		return nil
	}
	rest := ""
	if len(errs) > most {
		rest = fmt.Sprintf(" (and %d more)", len(errs)-most)
		errs = errs[:most]
	}
	return fmt.Errorf("%s %s: %w%s", Kind, clip(c.Name.String()), errs.ToAggregate(), rest)
}

func (c *Config) readSpec(spec *fields) {
	if c.CNIType = spec.text("cniType"); c.CNIType == "" {
		c.CNIType = Custom // Spiderpool's default
	}
	if c.CNIType == Custom {
		c.readCustom(spec)
	} else {
		c.readMain(spec)
		c.readChain(spec)
	}
	misplaced(spec)
	spec.done()
}

// readMain reads the block of the type, and what every type but custom has.
func (c *Config) readMain(spec *fields) {
	readers := map[string]struct {
		block string
		read  func(*Config, *fields) Main
	}{
		IBSRIOV: {"ibsriov", readIBSRIOV}, SRIOV: {"sriov", readSRIOV}, IPoIB: {"ipoib", readIPoIB},
		MACVLAN: {"macvlan", readLink}, IPVLAN: {"ipvlan", readLink},
	}
	own, known := readers[c.CNIType]
	if !known {
		spec.refuse(spec.at.Child("cniType"), c.CNIType, "write ib-sriov, sriov, ipoib, macvlan or ipvlan; for another, write custom and the CNI configuration into customCNI")
		return
	}
	otherBlocks(spec, own.block, c.CNIType)
	block, said := spec.block(own.block)
	if !said {
		spec.found.errs = append(spec.found.errs, field.Required(block.at, "cniType "+c.CNIType+" is described in it"))
		return
	}
	c.Main = own.read(c, block)
	c.readPools(block)
	block.done()
	c.readIPAM(spec)
	c.readCoordinator(spec)
}

// otherBlocks refuses the blocks of other types: which of two was meant is no guess.
func otherBlocks(spec *fields, own, cniType string) {
	for _, name := range []string{"ibsriov", "sriov", "ipoib", "macvlan", "ipvlan", "vlan", "ovs"} {
		if name == own {
			continue
		}
		if v, at := spec.take(name); v != nil {
			spec.found.errs = append(spec.found.errs, field.Forbidden(at, "cniType is "+clip(cniType)+"; remove this block, or change cniType"))
		}
	}
	if v, at := spec.take("customCNI"); v != nil && v != "" {
		spec.found.errs = append(spec.found.errs, field.Forbidden(at, "cniType is "+clip(cniType)+"; remove it, or write cniType: custom"))
	}
}

// readCustom reads a config that is the NAD's own text. Spiderpool forces the coordinator
// off for it, whatever is said.
func (c *Config) readCustom(spec *fields) {
	c.CustomCNI = customText(spec)
	otherBlocks(spec, "", Custom)
	for _, name := range []string{"enableCoordinator", "coordinator", "disableIPAM"} {
		spec.take(name)
	}
	for _, name := range []string{"chainCNIJsonData", "ipam"} {
		if v, at := spec.take(name); v != nil && fmt.Sprint(v) != "[]" {
			spec.found.errs = append(spec.found.errs, field.Forbidden(at, "a custom config is taken as it is; write this into customCNI"))
		}
	}
	if len(c.groups(RDMAInject)) > 0 || len(c.groups(NetworkInject)) > 0 {
		at := field.NewPath("metadata", "annotations")
		spec.found.errs = append(spec.found.errs, field.Forbidden(at.Key(RDMAInject), "a custom config cannot be given to pods by group; remove this and "+NetworkInject+", and name the network on the pod"))
	}
}

func customText(spec *fields) string {
	text := spec.text("customCNI")
	if text != "" && !isObject([]byte(text)) {
		spec.refuse(spec.at.Child("customCNI"), text, `write a JSON object, as in {"type":"ib-sriov",…}`)
	}
	return text
}

// misplaced refuses what belongs one level deeper: without its block it would go unread,
// and the network be another one than its author wrote.
func misplaced(spec *fields) {
	for _, name := range []string{"ippools", "resourceName", "pkey", "rdmaIsolation", "enableRdma", "ibKubernetesEnabled", "enableIbKubernetes"} {
		if v, at := spec.take(name); v != nil {
			spec.found.errs = append(spec.found.errs, field.Forbidden(at, "it belongs into the block of the type, as in spec.sriov."+name+"; move it there"))
		}
	}
}

// readChain reads the plugins behind the main one, each a JSON object in a text.
func (c *Config) readChain(spec *fields) {
	const name = "chainCNIJsonData"
	for i, text := range spec.texts(name) {
		if pluginType([]byte(text)) == "" {
			spec.refuse(spec.at.Child(name).Index(i), text, `write a JSON object with a type, as in '{"type":"sbr"}'`)
			return
		}
		c.Chain = append(c.Chain, json.RawMessage(text))
	}
}

// isObject reports whether text is one JSON object.
func isObject(text []byte) bool {
	return json.Valid(text) && bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{"))
}

// pluginType is the type of a CNI plugin's JSON; "" when it is none.
func pluginType(text []byte) string {
	var p struct {
		Type string `json:"type"`
	}
	if !isObject(text) || json.Unmarshal(text, &p) != nil {
		return ""
	}
	return p.Type
}

// checkAnnotations refuses values that the API server, libcni or Spiderpool would.
func (c *Config) checkAnnotations(found *findings) {
	at := field.NewPath("metadata", "annotations")
	refuse := func(key, mend string) {
		found.errs = append(found.errs, field.Invalid(at.Key(key), shown(c.Annotations[key]), mend))
	}
	if name, ok := c.Annotations[NADNameAnnotation]; ok && len(validation.IsDNS1123Subdomain(name)) > 0 {
		refuse(NADNameAnnotation, "write a name of lower-case letters, digits, '-' and '.'")
	}
	versions := []string{"0.3.0", defaultCNIVersion, "0.4.0", "1.0.0"}
	if v, ok := c.Annotations[CNIVersionAnnotation]; ok && !slices.Contains(versions, v) {
		refuse(CNIVersionAnnotation, "write "+strings.Join(versions, ", "))
	}
	if name, ok := c.Annotations[NetworkNameAnnotation]; ok && !isNetworkName(name) {
		refuse(NetworkNameAnnotation, "write letters, digits, '_', '.' and '-', a letter or digit first")
	}
}

// isNetworkName is libcni's rule for the name of a network.
func isNetworkName(s string) bool {
	ok, err := regexp.MatchString(`^[a-zA-Z0-9][a-zA-Z0-9_.\-]*$`, s)
	return ok && err == nil
}
