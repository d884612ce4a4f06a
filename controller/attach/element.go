package attach

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// readElement reads as much of an element as can be read; its Err is the first thing
// that is wrong.
func readElement(podNamespace string, i int, from entry) Element {
	e := Element{Index: i, Interface: fmt.Sprintf("net%d", i+1)}
	if e.Err = from.err; e.Err != nil {
		return e
	}
	s := elementSite(i)
	o, args, err := e.readObject(s, podNamespace, from)
	if err != nil {
		e.Err = err
		e.believe(podNamespace, from.raw)
		return e
	}
	state, stateErr := args.text(s, argState)
	e.Configured = stateErr == nil && state == configured
	e.Err = cmp.Or(e.readGUID(s, o, args), e.readRecord(s, args))
	return e
}

// believe fills in what Multus and the CNI make of an element that cannot be read in one
// way only. They know no Err: of keys that stand there twice they take the last.
func (e *Element) believe(podNamespace string, raw json.RawMessage) {
	var seen struct {
		Name      string         `json:"name"`
		Namespace string         `json:"namespace"`
		CNIArgs   map[string]any `json:"cni-args"`
	}
	if json.Unmarshal(raw, &seen) != nil {
		return // Multus reads no further either
	}
	e.Configured = seen.CNIArgs[argState] == configured
	if namespace := cmp.Or(seen.Namespace, podNamespace); isSubdomain(seen.Name) && isLabel(namespace) {
		e.Network.Name, e.Network.Namespace = seen.Name, namespace
	}
}

// readObject takes an element apart and reads which network and interface it is about.
func (e *Element) readObject(s site, podNamespace string, from entry) (o, args object, err error) {
	o, ok := parseObject(from.raw)
	if !ok {
		return nil, nil, s.problem("not an object", `write it as {"name":"…"}`)
	}
	if err := o.once(s, "name", "namespace", "interface", "interfaceRequest", topLevelGUID, cniArgs); err != nil {
		return nil, nil, err
	}
	if err := e.readNames(s, podNamespace, o); err != nil {
		return nil, nil, err
	}
	raw := o.get(cniArgs)
	if raw == nil {
		return o, nil, nil
	}
	if args, ok = parseObject(raw); !ok {
		return nil, nil, s.problem(cniArgs+" is not an object", `write it as "cni-args":{"guid":"…"}`)
	}
	return o, args, args.exactly(s, argGUID, argState, argPKey, argPKeys)
}

func (e *Element) readNames(s site, podNamespace string, o object) error {
	// One reader after the other, so that a bad name leaves the interface known.
	ifname, err := interfaceName(s, o)
	if err != nil {
		e.Interface = ""
		return err
	}
	e.Interface = cmp.Or(ifname, e.Interface)
	name, err := o.text(s, "name")
	if err != nil {
		return err
	}
	namespace, err := o.text(s, "namespace")
	switch {
	case err != nil:
		return err
	case !isSubdomain(name):
		return s.problem(fmt.Sprintf("name %s names no network", quote(name)), "write the name of a NetworkAttachmentDefinition, its namespace apart")
	case namespace != "" && !isLabel(namespace):
		return s.problem(fmt.Sprintf("namespace %s is none", quote(namespace)), "write the namespace of the NetworkAttachmentDefinition")
	}
	e.Network.Name, e.Network.Namespace = name, cmp.Or(namespace, podNamespace)
	return nil
}

// interfaceName reads the interface that an element asks for, "" when it asks for none.
// interfaceRequest is its old name, which Multus still takes where the new one is empty.
func interfaceName(s site, o object) (string, error) {
	ifname, err := o.text(s, "interface")
	if err != nil {
		return "", err
	}
	old, err := o.text(s, "interfaceRequest")
	if err != nil {
		return "", err
	}
	if ifname = cmp.Or(ifname, old); ifname != "" && !isInterface(ifname) {
		return "", s.problem("interface "+quote(ifname)+" is no name of an interface", "use up to 15 characters without spaces, slash and colon")
	}
	return ifname, nil
}

// readGUID takes the GUID from infiniband-guid first, else from cni-args.
func (e *Element) readGUID(s site, o, args object) error {
	top, err := parseGUID(s, o, topLevelGUID)
	if err != nil {
		return err
	}
	arg, err := parseGUID(s, args, argGUID)
	if err != nil && top == 0 {
		return err
	}
	e.GUID = cmp.Or(top, arg)
	if err == nil && top != 0 && arg != 0 && top != arg {
		// Which one the CNI takes depends on the NAD.
		err = s.problem(fmt.Sprintf("%s is %s, but %s.%s is %s", topLevelGUID, top, cniArgs, argGUID, arg), "leave one of them")
	}
	return err
}

func parseGUID(s site, o object, key string) (guid.GUID, error) {
	text, err := o.text(s, key)
	if err != nil || text == "" {
		return 0, err
	}
	g, err := guid.Parse(text)
	return g, s.wrap(key, err)
}

// readRecord reads the partitions that a controller wrote down. ib-kubernetes writes
// only cni-args.pkey, and its members are full and at index 0.
func (e *Element) readRecord(s site, args object) error {
	text, err := args.text(s, argPKey)
	if err != nil {
		return err
	}
	if text != "" {
		p, err := pkey.Parse(text)
		if err != nil {
			return s.wrap(cniArgs, err)
		}
		e.Recorded = []Claim{{PKey: p, Mode: pkey.Mode{Membership: pkey.Full, Index0: true}}}
	}
	list, err := args.text(s, argPKeys)
	if err != nil || list == "" {
		return err
	}
	claims, err := ParseClaims(list)
	switch {
	case err != nil:
		return s.wrap(argPKeys, err)
	case e.Recorded == nil, e.Recorded[0].PKey != claims[0].PKey:
		return s.problem(fmt.Sprintf("%s begins with %s, but pkey is %s", argPKeys, claims[0].PKey, quote(text)), "remove both: the controller writes them")
	}
	e.Recorded = claims
	return nil
}
