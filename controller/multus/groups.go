package multus

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// groups are those that c is in. Spiderpool copies the annotation into a label of the same
// key; where its webhook is not, there is the annotation alone.
func (c Config) groups(key string) []string {
	return names(c.Annotations[key] + "," + c.Labels[key])
}

// choose finds the networks of groups, in the order that pods get them.
func choose(key string, groups []string, all []Candidate) ([]Config, error) {
	chosen := map[types.NamespacedName]Config{}
	for _, group := range groups {
		found := false
		for _, c := range all {
			if !slices.Contains(c.Config.groups(key), group) {
				continue
			}
			found = true
			if err := c.fits(key, group); err != nil {
				return nil, err
			}
			// A second VF for one name would be asked for, and one interface made.
			other, taken := chosen[c.Config.NADName()]
			if taken && other.Name != c.Config.Name {
				return nil, fmt.Errorf("%s: %s %s and %s both make the network %s; change %s of one", group, Kind, other.Name, c.Config.Name, c.Config.NADName(), NADNameAnnotation)
			}
			chosen[c.Config.NADName()] = c.Config
		}
		if !found {
			return nil, fmt.Errorf("no %s has %s: %s; %s", Kind, key, clip(group), existing(key, all))
		}
	}
	members := slices.Collect(maps.Values(chosen))
	slices.SortFunc(members, func(a, b Config) int {
		return cmp.Or(natural(a.Main.order(), b.Main.order()), natural(a.Name.String(), b.Name.String()))
	})
	return members, nil
}

// fits refuses a config that pods of its group cannot be given.
func (c Candidate) fits(key, group string) error {
	at := fmt.Sprintf("%s %s is in %s, but ", Kind, clip(c.Config.Name.String()), clip(group))
	switch {
	case c.Err != nil:
		return fmt.Errorf("%sno network comes of it: %w", at, c.Err)
	case c.Config.Main == nil:
		return fmt.Errorf("%sa custom config cannot be given by group; name the network on the pod", at)
	case key == RDMAInject && c.Config.Resource() == "" && c.Config.CNIType != IPoIB:
		return fmt.Errorf("%sit has no RDMA device; write its rdmaResourceName, or use %s", at, NetworkInject)
	}
	return nil
}

// existing tells which groups there are, and whose.
func existing(key string, all []Candidate) string {
	const most = 10
	by := map[string][]string{}
	for _, c := range all {
		for _, group := range c.Config.groups(key) {
			by[group] = append(by[group], clip(c.Config.Name.String()))
		}
	}
	if len(by) == 0 {
		return "none has this annotation: put it on those whose networks belong together"
	}
	var lines []string
	for _, group := range slices.SortedFunc(maps.Keys(by), natural) {
		if len(lines) == most {
			lines = append(lines, fmt.Sprintf("and %d more", len(by)-most))
			break
		}
		slices.SortFunc(by[group], natural)
		lines = append(lines, fmt.Sprintf("%s (%s)", clip(group), few(by[group])))
	}
	return "there are " + strings.Join(lines, ", ")
}

// few shows the beginning of a list.
func few(list []string) string {
	const most = 3
	if len(list) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
	}
	return strings.Join(list, ", ")
}
