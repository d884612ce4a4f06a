package preflight

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Pools are the names of the SpiderIPPools of a cluster; nil where it has no such kind, or
// they were not read yet, and nothing can be said.
type Pools map[string]bool

// Missing are those of names that no pool has. Spiderpool takes patterns too, as in
// gpu1-*, which must fit one.
func (p Pools) Missing(names []string) (missing []string) {
	if p == nil {
		return nil
	}
	for _, name := range names {
		if !p.has(name) && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

func (p Pools) has(name string) bool {
	if p[name] || !strings.ContainsAny(name, "*?[") {
		return p[name]
	}
	for pool := range p {
		if fits, err := path.Match(name, pool); fits && err == nil {
			return true
		}
	}
	return false
}

// Advise says that pools are missing, and which there are.
func (p Pools) Advise(missing []string) string {
	there := "there is none yet"
	if len(p) > 0 {
		there = "there are " + few(slices.Sorted(maps.Keys(p)))
	}
	return fmt.Sprintf("it takes addresses from SpiderIPPool %s, which does not exist (%s): create it, or name one that does; until then pods stay in ContainerCreating", few(missing), there)
}

// addresses are the pools of one interface, as Spiderpool's annotations have them.
type addresses struct {
	IPv4 []string `json:"ipv4"`
	IPv6 []string `json:"ipv6"`
}

// PoolsOf are the pools that the config of a network names. A config that cannot be read
// names none: whoever reads it for its own sake says what is wrong.
func PoolsOf(config string) (names []string) {
	type part struct {
		IPAM struct {
			Type string   `json:"type"`
			IPv4 []string `json:"default_ipv4_ippool"`
			IPv6 []string `json:"default_ipv6_ippool"`
		} `json:"ipam"`
	}
	var conf struct {
		part
		Plugins []part `json:"plugins"`
	}
	if !strings.Contains(config, "_ippool") || json.Unmarshal([]byte(config), &conf) != nil {
		return nil
	}
	for _, p := range append(conf.Plugins, conf.part) {
		if p.IPAM.Type == "spiderpool" {
			names = append(append(names, p.IPAM.IPv4...), p.IPAM.IPv6...)
		}
	}
	return names
}

// PoolsOfPod are the pools that a pod's annotations name; of one that cannot be read
// Spiderpool tells.
func PoolsOfPod(annotations map[string]string) (names []string) {
	var one addresses
	var each []addresses
	_ = json.Unmarshal([]byte(annotations["ipam.spidernet.io/ippool"]), &one)
	_ = json.Unmarshal([]byte(annotations["ipam.spidernet.io/ippools"]), &each)
	for _, a := range append(each, one) {
		names = append(append(names, a.IPv4...), a.IPv6...)
	}
	return names
}
