package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// facts are what the table is made of, each as its owner tells it.
type facts struct {
	Pods       []corev1.Pod
	Networks   map[types.NamespacedName]attach.Network
	Ledger     map[owner]guid.GUID // of pods that are not told yet
	Partitions []pkey.Partition    // as UFM shows them
}

type owner struct {
	Pod       types.UID
	Interface string
}

// row is one interface of one pod. Lacks says what it still waits for; "" is nothing.
type row struct {
	Pod, Interface, GUID, PKey, UFM string
	Lacks                           string
}

// rows puts the facts side by side, in order of pod and interface.
func (f facts) rows() []row {
	pods := slices.SortedFunc(slices.Values(f.Pods), func(a, b corev1.Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var rows []row
	for i := range pods {
		p := &pods[i]
		elements, err := attach.ParseAnnotation(p.Namespace, p.Annotations[attach.NetworksAnnotation])
		if err != nil {
			rows = append(rows, row{p.Namespace + "/" + p.Name, "-", "-", "-", "annotation unreadable", err.Error()})
		}
		for _, e := range elements {
			rows = append(rows, f.row(p, e))
		}
	}
	return rows
}

func (f facts) row(p *corev1.Pod, e attach.Element) row {
	r := row{Pod: p.Namespace + "/" + p.Name, Interface: e.Interface, GUID: "-", PKey: "-"}
	g, claims := e.GUID, e.Recorded
	if !e.Configured {
		g, claims = f.Ledger[owner{p.UID, e.Interface}], f.Networks[e.Network].Claims
	}
	if g != 0 {
		r.GUID = g.String()
	}
	if len(claims) > 0 {
		r.PKey = claims[0].PKey.String()
	}
	r.UFM, r.Lacks = f.inUFM(g, claims)
	switch {
	case e.Err != nil:
		r.Lacks = e.Err.Error()
	case g == 0:
		r.Lacks = "has no GUID"
	case r.Lacks == "" && !e.Configured:
		r.Lacks = "stands in UFM, but the pod's annotation does not say so"
	}
	return r
}

// inUFM says how UFM has g: the membership in its own partition, and what it joins
// beside that.
func (f facts) inUFM(g guid.GUID, claims []attach.Claim) (shown, lacks string) {
	var have, want []string
	for i, c := range claims {
		prefix := ""
		if i > 0 {
			prefix = c.PKey.String() + " "
		}
		m, ok := f.membership(g, c.PKey)
		if ok {
			have = append(have, prefix+m.String())
		}
		if !ok || m != c.Membership {
			want = append(want, fmt.Sprintf("%s %s", c.PKey, c.Membership))
		}
	}
	shown = strings.Join(have, " + ")
	switch {
	case g != 0 && len(claims) == 0:
		shown = "no partition"
	case shown == "":
		shown = "waiting"
	}
	if len(want) > 0 {
		lacks = "is not in UFM as " + strings.Join(want, ", ")
	}
	return shown, lacks
}

func (f facts) membership(g guid.GUID, p pkey.PKey) (pkey.Membership, bool) {
	for _, part := range f.Partitions {
		if part.PKey != p {
			continue
		}
		for _, m := range part.Members {
			if m.GUID == g {
				return m.Membership, true
			}
		}
	}
	return 0, false
}

// lines are the table, a line each.
func lines(rows []row) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POD\tINTERFACE\tGUID\tPKEY\tUFM")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Pod, r.Interface, r.GUID, r.PKey, r.UFM)
	}
	w.Flush() // a strings.Builder takes everything
	return strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
}

// noMembers is what is said of a UFM that has nobody left.
const noMembers = "UFM: no members in any partition"

// partitions is one line of what UFM has in all, but for the partition of its own.
func (f facts) partitions() string {
	var parts []string
	for _, p := range f.Partitions {
		if n := len(p.Members); p.PKey != pkey.Default && n > 0 {
			parts = append(parts, fmt.Sprintf("%s has %d", p.PKey, n))
		}
	}
	if len(parts) == 0 {
		return noMembers
	}
	return "UFM members: " + strings.Join(parts, ", ")
}

func configured(rows []row) (n int) {
	for _, r := range rows {
		if r.Lacks == "" {
			n++
		}
	}
	return n
}
