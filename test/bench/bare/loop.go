package main

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/ibfabric/ibfabric/controller/attach"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
	"github.com/ibfabric/ibfabric/test/bench/internal/podwatch"
	"github.com/ibfabric/ibfabric/ufm"
)

const firstGUID = guid.GUID(0x0200000000000000)

// mode is what ib-kubernetes gives every member.
func mode() pkey.Mode { return pkey.Mode{Membership: pkey.Full, Index0: true} }

type loop struct {
	pkeys  map[string]pkey.PKey
	fabric *ufm.Client
	pods   typedv1.PodInterface
	queue  *queue
}

// pod is one that was seen, with what its patch will say.
type pod struct {
	namespace, name string
	uid             types.UID
	text            string // the networks annotation as it was seen
	writes          []attach.Write
	left            int // interfaces not in UFM yet; only the one who calls UFM counts it down
}

func (l *loop) run(ctx context.Context) error {
	w, err := podwatch.Open(ctx, l.pods)
	if err != nil {
		return err
	}
	fmt.Println("watching")
	g, ctx := errgroup.WithContext(ctx)
	ready := make(chan *pod, 1<<16)
	g.Go(func() error { return l.follow(ctx, w) })
	g.Go(func() error { return l.callUFM(ctx, ready) })
	for range patchWorkers {
		g.Go(func() error { return l.patchAll(ctx, ready) })
	}
	return g.Wait()
}

// follow queues what the pods that come and go need of UFM.
func (l *loop) follow(ctx context.Context, w *podwatch.Watch) error {
	seen, next := map[types.UID]*pod{}, firstGUID
	return w.Run(ctx, func(kind watch.EventType, obj *corev1.Pod) error {
		p := seen[obj.UID]
		switch {
		case kind == watch.Added && p == nil:
			p, err := l.read(obj, &next)
			if err != nil {
				return err
			}
			seen[p.uid] = p
			l.queue.put(add, p)
		case kind == watch.Deleted && p != nil:
			l.queue.put(remove, p)
			delete(seen, obj.UID)
		}
		return nil
	})
}

// read gives each interface of a pod the next GUID.
func (l *loop) read(obj *corev1.Pod, next *guid.GUID) (*pod, error) {
	p := &pod{namespace: obj.Namespace, name: obj.Name, uid: obj.UID, text: obj.Annotations[attach.NetworksAnnotation]}
	elements, err := attach.ParseAnnotation(obj.Namespace, p.text)
	if err != nil {
		return nil, fmt.Errorf("pod %s: %w", obj.Name, err)
	}
	for _, e := range elements {
		claim := attach.Claim{PKey: l.pkeys[e.Network.Name], Mode: mode(), IPoIB: true}
		p.writes = append(p.writes, attach.Write{Index: e.Index, GUID: *next, Claims: []attach.Claim{claim}})
		*next++
	}
	p.left = len(p.writes)
	return p, nil
}

func (l *loop) callUFM(ctx context.Context, ready chan<- *pod) error {
	for {
		b, err := l.queue.take(ctx)
		if err != nil {
			return err
		}
		if b.do == remove {
			_, err = l.fabric.Remove(ctx, b.pkey, b.guids)
		} else {
			_, err = l.fabric.Add(ctx, b.pkey, pkey.Batch{Mode: mode(), IPoIB: true, GUIDs: b.guids})
		}
		if err != nil {
			return err
		}
		if b.do == remove {
			continue
		}
		for _, p := range b.pods { // once for each interface
			if p.left--; p.left == 0 {
				ready <- p
			}
		}
	}
}

func (l *loop) patchAll(ctx context.Context, ready <-chan *pod) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case p := <-ready:
			if err := l.patch(ctx, p); err != nil {
				return err
			}
		}
	}
}

type op struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

func (l *loop) patch(ctx context.Context, p *pod) error {
	const path = "/metadata/annotations/k8s.v1.cni.cncf.io~1networks"
	text, err := attach.Edit(p.namespace, p.text, p.writes)
	if err != nil {
		return fmt.Errorf("pod %s: %w", p.name, err)
	}
	body, err := json.Marshal([]op{{"test", "/metadata/uid", p.uid}, {"test", path, p.text}, {"replace", path, text}})
	if err != nil {
		return fmt.Errorf("patch of pod %s: %w", p.name, err)
	}
	if _, err = l.pods.Patch(ctx, p.name, types.JSONPatchType, body, metav1.PatchOptions{}); err != nil {
		return fmt.Errorf("patch pod %s: %w", p.name, err)
	}
	return nil
}
