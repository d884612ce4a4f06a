package admission

import (
	"fmt"
	"strings"

	nadv1 "github.com/k8snetworkplumbingwg/network-attachment-definition-client/pkg/apis/k8s.cni.cncf.io/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/test/testbed"
)

const (
	mustWait      = "must wait at ibfabric's scheduling gate"
	nobodyJudges  = "nobody would judge what is said of it; leave guid"
	anothersFirst = "it goes on when that fabric's controller has configured it there"
	anothersWords = "whose controller alone writes mellanox.infiniband.app there"
	anotherPods   = "belongs to another pod: leave the guid out, or choose one that is free"
)

// byPod makes a pod of b's. In its networks GUID is that of a's pod, and TENANT a's namespace.
func byPod(networks string, edit ...func(*corev1.Pod)) func(*tenants, string) error {
	return func(x *tenants, name string) error {
		return x.bob.Create(x.ctx(), x.thief(name, x.say(networks), edit...))
	}
}

func (x *tenants) say(networks string) string {
	return strings.NewReplacer(`"GUID"`, `"`+x.guidA.String()+`"`, "SERVER", x.server.String(), "TENANT", x.a).Replace(networks)
}

func onNode(p *corev1.Pod) { p.Spec.NodeName = "node-0" }

func onHost(p *corev1.Pod) { p.Spec.HostNetwork = true }

// selfGated brings the fabric's gate along; anybody can write it.
func selfGated(try string) func(*tenants, string) error {
	return func(x *tenants, name string) error {
		return x.bob.Create(x.ctx(), x.thief(name, x.say(try), gatedBy(x.gate())))
	}
}

func podPaths() map[string]path {
	const (
		pin    = `[{"name":"own","infiniband-guid":"GUID"}]`
		marked = `[{"name":"own","cni-args":{"guid":"GUID","pkey":"0x30","mellanox.infiniband.app":"configured"}}]`
		theirs = `[{"name":"net","namespace":"TENANT","cni-args":{"guid":"GUID","mellanox.infiniband.app":"configured"}}]`
	)
	stray := func(element, refused string) path {
		return path{try: byPod(`[{"name":"own"},` + element + `]`), refused: refused, open: true}
	}
	return map[string]path{
		"pod that names the pkey":                  {try: byPod(`[{"name":"own","cni-args":{"pkey":"0x30"}}]`), isServed: true},
		"pod that names pkeys":                     {try: byPod(`[{"name":"own","cni-args":{"pkey":"0x30","ibfabric.io/pkeys":"0x30:full:index0"}}]`), isServed: true},
		"pod that pins a's guid":                   {try: byPod(pin), told: anotherPods, open: true},
		"pod that pins a's guid by args":           {try: byPod(`[{"name":"own","cni-args":{"guid":"GUID"}}]`), told: anotherPods, open: true},
		"pod that pins a's guid, static":           {try: byPod(`[{"name":"static","cni-args":{"guid":"GUID"}}]`), told: anotherPods, open: true},
		"pod that pins a machine's guid":           {try: byPod(`[{"name":"own","infiniband-guid":"SERVER"}]`), told: "guid " + "03:00:00:00:00:00:00:77", open: true},
		"pod that pins beside a bridge":            stray(`{"name":"bridge","infiniband-guid":"GUID"}`, nobodyJudges),
		"pod that pins on nobody's":                {try: byPod(`[{"name":"own"},{"name":"nobodys","cni-args":{"guid":"GUID"}}]`), told: anothersFirst, open: true},
		"pod that pins on one to come":             stray(`{"name":"to-come","cni-args":{"guid":"GUID"}}`, nobodyJudges),
		"pod that hides what it pins":              {try: byPod(`[{"name":"own"},{"name":"nobodys","infiniband-guid":"","Infiniband-GUID":"GUID"}]`), refused: leaveOne, open: true},
		"pod on nobody's alone":                    {try: byPod(`[{"name":"nobodys","cni-args":{"guid":"GUID"}}]`), refused: mustWait, open: true},
		"pod on nobody's, gate by itself":          {try: selfGated(`[{"name":"nobodys","cni-args":{"guid":"GUID"}}]`), told: anothersFirst},
		"pod on nobody's, configured":              stray(`{"name":"nobodys","cni-args":{"guid":"GUID","mellanox.infiniband.app":"configured"}}`, anothersWords),
		"pod that is configured":                   {try: byPod(marked), told: anotherPods, open: true},
		"pod that is configured, on node":          {try: byPod(marked, onNode), refused: mustWait, open: true},
		"pod that is configured, on host":          {try: byPod(marked, onHost), refused: mustWait, open: true},
		"pod that pins, on node":                   {try: byPod(pin, onNode), refused: mustWait, open: true},
		"pod on a's network":                       {try: byPod("TENANT/net"), told: askForAGrant},
		"pod on a's network, on node":              {try: byPod("TENANT/net", onNode), told: askForAGrant},
		"pod on a's network, configured":           {try: byPod(theirs, onNode), refused: mustWait, open: true},
		"pod behind eth0 by name":                  {try: behindEth0("TENANT/net")},
		"pod behind eth0, configured":              {try: behindEth0(theirs), refused: "name the InfiniBand network in k8s.v1.cni.cncf.io/networks", open: true},
		"network that changes under its pod alone": {try: changesUnder("bridge", asBridge), told: anotherPods, open: true},
		"network that changes under its pod":       {try: changesUnder("own", asBridge), told: anotherPods, open: true},
		// The CNI reads no labels.
		"network that is given away under its pod alone": {try: changesUnder("bridge", givenAway), told: anothersFirst, open: true},
		"network that is given away under its pod":       {try: changesUnder("own", givenAway), told: anothersFirst, open: true},
		"network given away under a configured pod":      {try: changesUnder("own", givenAway, `,"mellanox.infiniband.app":"configured"`), told: anothersFirst, open: true},
	}
}

func asBridge(nad *nadv1.NetworkAttachmentDefinition) { nad.Spec.Config = `{"type":"bridge"}` }

func givenAway(nad *nadv1.NetworkAttachmentDefinition) { nad.Labels = nil }

func behindEth0(network string) func(*tenants, string) error {
	return func(x *tenants, name string) error {
		pod := x.thief(name, "")
		pod.Annotations = map[string]string{mainNetwork: x.say(network)}
		return x.bob.Create(x.ctx(), pod)
	}
}

// changesUnder pins a's GUID on a network of the fabric, and makes that another network while
// the pod waits at the gate. It may become InfiniBand again before the CNI reads it.
func changesUnder(beside string, change func(*nadv1.NetworkAttachmentDefinition), says ...string) func(*tenants, string) error {
	return func(x *tenants, name string) error {
		if err := x.bob.Create(x.ctx(), x.netOf(x.b, name, `{"type":"ib-sriov","ibKubernetesEnabled":false}`)); err != nil {
			return err
		}
		pod := x.thief(name, x.say(`[{"name":"`+beside+`"},{"name":"`+name+`","cni-args":{"guid":"GUID"`+strings.Join(says, "")+`}}]`))
		testbed.Eventually(x.t, "the pod stands at the gate", func() (bool, string) {
			err := x.bob.Create(x.ctx(), pod.DeepCopy())
			return client.IgnoreAlreadyExists(err) == nil, fmt.Sprint(err)
		})
		if err := x.api.Get(x.ctx(), client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		if x.isGated(pod) { // else it may be looked at first when its network is another already
			x.told(x.t, name, anotherPods)
		}
		nad := x.netOf(x.b, name, "")
		if err := x.api.Get(x.ctx(), client.ObjectKeyFromObject(nad), nad); err != nil {
			return err
		}
		change(nad)
		if err := x.bob.Update(x.ctx(), nad); err != nil {
			return err
		}
		return x.passedBy(name)
	}
}

// passedBy waits until the controller has looked at all that came before: it serves a pod
// that comes after it.
func (x *tenants) passedBy(name string) error {
	if err := x.bob.Create(x.ctx(), x.thief(name+"-after", "own")); err != nil {
		return err
	}
	testbed.Eventually(x.t, "the controller has looked", func() (bool, string) {
		text := x.networksOf(x.b, name+"-after")
		return strings.Contains(text, "configured"), text
	})
	return nil
}

// byEdit edits a pod of b's that runs, with the networks that a says of its own.
func byEdit(edit func(x *tenants, pod *corev1.Pod, networks string) error) func(*tenants, string) error {
	return func(x *tenants, name string) error {
		pod := x.thief(name, "own")
		if err := x.bob.Create(x.ctx(), pod); err != nil {
			return err
		}
		is := func(what string, is func() bool) {
			testbed.Eventually(x.t, "b's pod "+what, func() (bool, string) {
				err := x.api.Get(x.ctx(), client.ObjectKeyFromObject(pod), pod)
				return err == nil && is(), fmt.Sprint(pod.Annotations, pod.Status.Phase, err)
			})
		}
		is("is in its own partition", func() bool { return strings.Contains(pod.Annotations[attach.NetworksAnnotation], "configured") })
		if err := x.bob.SubResource("binding").Create(x.ctx(), pod.DeepCopy(), bindingOf(x.b, name)); err != nil {
			return err
		}
		is("runs", func() bool { return pod.Status.Phase == corev1.PodRunning })
		pod.ResourceVersion, pod.ManagedFields = "", nil
		return edit(x, pod, x.say(`[{"name":"own","namespace":"`+x.b+`","cni-args":{"guid":"GUID","pkey":"0x30","mellanox.infiniband.app":"configured"}}]`))
	}
}

// patched sends a patch of that type, which has an annotation in it.
func patched(kind types.PatchType, subresource string) func(*tenants, *corev1.Pod, string) error {
	return func(x *tenants, pod *corev1.Pod, networks string) error {
		body := map[string]any{"metadata": map[string]any{"annotations": map[string]string{attach.NetworksAnnotation: networks}}}
		var opts []client.PatchOption
		switch kind {
		case types.JSONPatchType:
			return x.bob.Patch(x.ctx(), pod, client.RawPatch(kind, asJSON([]any{map[string]any{
				"op": "replace", "path": "/metadata/annotations/" + strings.ReplaceAll(attach.NetworksAnnotation, "/", "~1"), "value": networks,
			}})))
		case types.ApplyPatchType:
			body["apiVersion"], body["kind"] = "v1", "Pod"
			opts = append(opts, client.FieldOwner("bob"), client.ForceOwnership)
		}
		if subresource != "" {
			return x.bob.SubResource(subresource).Patch(x.ctx(), pod, client.RawPatch(kind, asJSON(body)))
		}
		return x.bob.Patch(x.ctx(), pod, client.RawPatch(kind, asJSON(body)), opts...)
	}
}

func editPaths() map[string]path {
	edit := func(how func(*tenants, *corev1.Pod, string) error) path {
		return path{try: byEdit(how), refused: anew, open: true}
	}
	return map[string]path{
		"edit by update": edit(func(x *tenants, pod *corev1.Pod, networks string) error {
			return x.bob.Update(x.ctx(), rewritten(pod, networks))
		}),
		"edit by status": edit(func(x *tenants, pod *corev1.Pod, networks string) error {
			return x.bob.Status().Update(x.ctx(), rewritten(pod, networks))
		}),
		"edit by patch":          edit(patched(types.JSONPatchType, "")),
		"edit by merge":          edit(patched(types.MergePatchType, "")),
		"edit by strategic":      edit(patched(types.StrategicMergePatchType, "")),
		"edit by apply":          edit(patched(types.ApplyPatchType, "")),
		"edit by status's patch": edit(patched(types.MergePatchType, "status")),
		"edit by debugging":      {try: byEdit(patched(types.StrategicMergePatchType, "ephemeralcontainers"))},                           // the API server drops it
		"edit by resizing":       {try: byEdit(patched(types.StrategicMergePatchType, "resize")), refused: "without support for resize"}, // of nodes that are played
		"edit by a binding":      {try: bound, refused: "leave the annotations k8s.v1.cni.cncf.io/networks", open: true},
		"gate taken away":        {try: ungates, refused: "the scheduling gate of ibfabric is lifted by its controller", open: true},
	}
}

func bound(x *tenants, name string) error {
	pod := x.thief(name, "")
	if err := x.bob.Create(x.ctx(), pod); err != nil {
		return err
	}
	said := x.say(`[{"name":"static","cni-args":{"guid":"GUID"}}]`)
	binding := bindingOf(x.b, name)
	binding.Annotations = map[string]string{attach.NetworksAnnotation: said}
	return x.bob.SubResource("binding").Create(x.ctx(), pod, binding)
}

func bindingOf(namespace, pod string) *corev1.Binding {
	return &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: pod}, Target: corev1.ObjectReference{Kind: "Node", Name: "node-0"}}
}

// ungates puts a pod with a's GUID at the gate, where it is judged, and takes the gate away.
func ungates(x *tenants, name string) error {
	pod := x.thief(name, x.say(`[{"name":"own","infiniband-guid":"GUID"}]`), gatedBy(x.gate()))
	if err := x.bob.Create(x.ctx(), pod); err != nil {
		return err
	}
	return x.bob.Patch(x.ctx(), pod, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"schedulingGates":null}}`)))
}
