package attach

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/guid"
)

// Element is one entry of the networks annotation, as Multus reads it.
type Element struct {
	Index      int
	Network    types.NamespacedName
	Interface  string    // the one asked for, else net<Index+1>; unique among elements without Err, "" when it is what is wrong
	GUID       guid.GUID // pinned by the user or written by a controller; zero is none
	Configured bool      // the CNI may go on; tenants can write this too
	Recorded   []Claim   // the partitions written down, the primary first; without IPoIB and names
	Err        error     // a *Problem; the other fields are filled as far as they could be read
}

// ParseAnnotation reads the networks annotation of a pod in podNamespace: a JSON list,
// or a comma list of [<namespace>/]<name>[@<interface>]. A bad element carries its Err
// and hides no other; an error is for a text that has no elements to speak of.
func ParseAnnotation(podNamespace, text string) ([]Element, error) {
	entries, err := split(podNamespace, text)
	if err != nil {
		return nil, err
	}
	elements := make([]Element, len(entries))
	holder := make(map[string]int, len(entries))
	for i, entry := range entries {
		e := readElement(podNamespace, i, entry)
		first, taken := holder[e.Interface]
		switch {
		case !taken:
			holder[e.Interface] = i
		case e.Err == nil:
			// An interface is half of who owns a GUID, and the kernel refuses the second one.
			e.Err = elementSite(i).problem(fmt.Sprintf("interface %s is that of element %d", quote(e.Interface), first+1), "give each element its own")
		}
		elements[i] = e
	}
	return elements, nil
}

// entry is an element before it is read: JSON, or why a part of a comma list is none.
type entry struct {
	raw json.RawMessage
	err error
}

func elementSite(i int) site { return site(fmt.Sprintf("networks annotation, element %d", i+1)) }

// split cuts the annotation into its elements, those of a comma list turned into JSON.
func split(podNamespace, text string) ([]entry, error) {
	switch {
	case text == "":
		return nil, nil
	case strings.ContainsAny(text, `[{"`): // so Multus tells the forms apart
		return splitJSON(text)
	}
	var entries []entry
	for item := range strings.SplitSeq(text, ",") {
		raw, err := fromItem(elementSite(len(entries)), podNamespace, strings.TrimSpace(item))
		entries = append(entries, entry{raw, err})
	}
	return entries, nil
}

func splitJSON(text string) ([]entry, error) {
	s := site("networks annotation")
	raw, err := parseJSON(s, text)
	if err != nil {
		return nil, err
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, s.problem("not a list", `write it as [{"name":"…"}], also for one network`)
	}
	entries := make([]entry, len(list))
	for i := range list {
		entries[i].raw = list[i]
	}
	return entries, nil
}

// fromItem turns one part of a comma list into a JSON element. The namespace is always
// written: tools that read the annotation later may not know the pod's.
func fromItem(s site, podNamespace, item string) (json.RawMessage, error) {
	const form = "write it as [namespace/]name[@interface]"
	namespace, name, slash := strings.Cut(item, "/")
	if !slash {
		namespace, name = "", item
	}
	name, ifname, at := strings.Cut(name, "@")
	namespace, name, ifname = strings.TrimSpace(namespace), strings.TrimSpace(name), strings.TrimSpace(ifname)
	switch {
	case !isLabel(name), namespace != "" && !isLabel(namespace):
		return nil, s.problem(quote(item)+" names no network", form)
	case at && ifname != "" && (!isInterface(ifname) || strings.Contains(ifname, "@")):
		return nil, s.problem(quote(ifname)+" is no name of an interface", "use up to 15 characters without spaces, slash, colon and @")
	}
	if namespace == "" {
		namespace = podNamespace
	}
	o := object{}.set("name", marshal(name))
	if namespace != "" {
		o = o.set("namespace", marshal(namespace))
	}
	if ifname != "" {
		o = o.set("interface", marshal(ifname))
	}
	return o.bytes(), nil
}
