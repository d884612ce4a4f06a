package attach

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/pkey"
)

// Network is what ibfabric needs to know of a NAD.
type Network struct {
	Name       types.NamespacedName
	InfiniBand bool      // everything else counts only for these
	Claims     []Claim   // the partitions that a GUID on it joins, the primary first; none: GUID only
	GUIDField  GUIDField // where its GUIDs are written
}

// ParseNetwork reads the config and the annotations of a NAD.
//
// A NAD that is not InfiniBand is no error, nor is one with no config, whose config
// Multus reads from a file on the node. Of a text that is not JSON nobody can say whose
// it is: it is an error, and the caller knows whether a pod of ours uses it. With an
// error, Network.InfiniBand is true where it was seen that the NAD is ours.
func ParseNetwork(name types.NamespacedName, config string, annotations map[string]string) (Network, error) {
	n := Network{Name: name}
	if config == "" {
		return n, nil
	}
	s := site("network " + clip(name.String()))
	plugin, err := ibPlugin(s, config)
	if plugin == nil {
		return n, err
	}
	n.InfiniBand = true
	if err != nil {
		return n, err
	}
	// ib-kubernetes and libcni look for capabilities in the plugin itself.
	if err := plugin.once(s, "pkey", "capabilities"); err != nil {
		return n, err
	}
	if n.GUIDField, err = guidField(s, plugin); err != nil {
		return n, err
	}
	n.Claims, err = networkClaims(s, plugin.get("pkey"), annotations)
	return n, err
}

// ibPlugin finds the ib-sriov plugin of a config as Multus does: the config itself when
// it has a type, else the one of that type in the chain. It is nil when there is none.
func ibPlugin(s site, config string) (object, error) {
	raw, err := parseJSON(s, config)
	if err != nil {
		return nil, err
	}
	conf, ok := parseObject(raw)
	if !ok {
		return nil, s.problem("its config is not a JSON object", `write {"type":"ib-sriov",…} or {"plugins":[{"type":"ib-sriov",…}]}`)
	}
	if err := conf.once(s, "type", "plugins"); err != nil {
		return nil, err
	}
	own, err := conf.text(s, "type")
	if err != nil {
		return nil, err
	}
	if own == CNIType {
		return conf, nil
	}
	plugin, err := pluginInChain(s, conf.get("plugins"))
	if plugin != nil && own != "" {
		// Multus runs the type and ib-kubernetes takes the chain.
		return nil, s.problem(fmt.Sprintf("it has both the type %s and a chain of plugins with %s", quote(own), CNIType), "remove the type beside plugins")
	}
	return plugin, err
}

func pluginInChain(s site, raw json.RawMessage) (object, error) {
	if raw == nil {
		return nil, nil
	}
	var chain []json.RawMessage
	if err := json.Unmarshal(raw, &chain); err != nil {
		return nil, s.problem("plugins is not a list", `write "plugins":[{"type":"ib-sriov",…}]`)
	}
	var found object
	at := 0
	for i, raw := range chain {
		plugin, ok := parseObject(raw)
		if !ok {
			return found, s.problem(fmt.Sprintf("plugin %d of the chain is not an object", i+1), `write {"type":…}`)
		}
		if err := plugin.once(s, "type"); err != nil {
			return found, err
		}
		switch kind, err := plugin.text(s, "type"); {
		case err != nil:
			return found, err
		case kind != CNIType:
		case found != nil:
			// ib-kubernetes takes the first; the CNI runs both, on one VF.
			return found, s.problem(fmt.Sprintf("plugins %d and %d of its chain are both %s", at, i+1, CNIType), "leave one of them")
		default:
			found, at = plugin, i+1
		}
	}
	return found, nil
}

func guidField(s site, plugin object) (GUIDField, error) {
	const capability = "infinibandGUID"
	raw := plugin.get("capabilities")
	if raw == nil {
		return InCNIArgs, nil
	}
	caps, ok := parseObject(raw)
	if !ok {
		return InCNIArgs, s.problem("capabilities is not an object", `write "capabilities":{"infinibandGUID":true}`)
	}
	if err := caps.exactly(s, capability); err != nil {
		return InCNIArgs, err
	}
	switch v := string(caps.get(capability)); v {
	case "true":
		return InTopLevel, nil
	case "", "false":
		return InCNIArgs, nil
	default:
		return InCNIArgs, s.problem(fmt.Sprintf("capabilities.%s is %s", capability, clip(v)), "write true or false, without quotes")
	}
}

// networkClaims puts the pkey of a NAD and its annotations together.
func networkClaims(s site, rawPKey json.RawMessage, annotations map[string]string) ([]Claim, error) {
	p, err := pkey.ParseJSON(rawPKey)
	if err != nil {
		return nil, s.wrap("config", err)
	}
	primary, err := primaryClaim(s, annotations)
	if err != nil {
		return nil, err
	}
	also, err := alsoClaims(s, annotations[AlsoAnnotation])
	if err != nil {
		return nil, err
	}
	primary.PKey = p
	switch {
	case p != 0 && primary.Partition != "":
		return nil, s.problem(fmt.Sprintf("it names both pkey %s and %s", p, PartitionAnnotation), "remove one of them")
	case p == 0 && primary.Partition == "" && len(also) > 0:
		return nil, s.problem(AlsoAnnotation+" is set, but no first partition", "name one in the config's pkey or in "+PartitionAnnotation)
	case p == 0 && primary.Partition == "":
		return nil, nil
	}
	claims := append([]Claim{primary}, also...)
	if err := CheckClaims(claims); err != nil {
		return nil, s.wrap(AlsoAnnotation, err)
	}
	return claims, nil
}
