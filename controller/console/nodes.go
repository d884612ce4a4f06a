package console

import (
	"cmp"

	corev1 "k8s.io/api/core/v1"

	"github.com/ibfabric/ibfabric/controller/budget"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

type use = budget.Use

// Nodes are a page of the nodes that have pods of this fabric, by name.
func (a *Answers) Nodes(q api.Query) (list api.List[api.Node], err error) {
	if err := a.leads(); err != nil {
		return list, err
	}
	uses, entries := a.c.Tables()
	items, more := page(uses, use{Node: q.Continue}, q.Continue != "", limit(q), func(x, y use) int { return cmp.Compare(x.Node, y.Node) })
	list = api.List[api.Node]{Items: make([]api.Node, 0, len(items)), Total: len(uses), AsOf: a.now()}
	known, held := a.index.allNodes(), a.index.census().held
	for _, u := range items {
		list.Items = append(list.Items, a.node(u, entries, known[u.Node], held))
	}
	if more {
		list.Continue = items[len(items)-1].Node
	}
	return list, nil
}

func (a *Answers) node(u use, entries int, node *corev1.Node, held map[string]int) api.Node {
	n := api.Node{Name: u.Node, Needed: len(u.PKeys) + 1, Limit: entries, Pods: u.Pods, PKeys: u.PKeys, Known: node != nil, Held: held[u.Node]}
	if node == nil {
		return n
	}
	for _, cond := range node.Status.Conditions {
		if cond.Type == corev1.NodeReady {
			n.Ready, n.Since = cond.Status == corev1.ConditionTrue, utc(cond.LastTransitionTime.Time)
		}
	}
	return n
}
