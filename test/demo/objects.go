package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// readManifests reads the objects of all files that match, in order of their names.
func readManifests(globs ...string) ([]*unstructured.Unstructured, error) {
	var all []*unstructured.Unstructured
	for _, glob := range globs {
		files, err := filepath.Glob(glob)
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("no manifests match %s: run in the source tree, or give -root (%w)", glob, errors.Join(err, os.ErrNotExist))
		}
		for _, file := range files {
			objects, err := readManifest(file)
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", file, err)
			}
			all = append(all, objects...)
		}
	}
	return all, nil
}

func readManifest(file string) ([]*unstructured.Unstructured, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var objects []*unstructured.Unstructured
	documents := yaml.NewYAMLOrJSONDecoder(f, 4096)
	for {
		o := &unstructured.Unstructured{}
		switch err := documents.Decode(o); {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, err
		case len(o.Object) > 0:
			objects = append(objects, o)
		}
	}
}

// create makes objects and remembers them. Namespaces and CRDs that are there already
// serve as they are; anything else is somebody's, and is not overwritten.
func (c *cluster) create(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		err := c.createOne(ctx, o)
		switch shared := o.GetKind() == "Namespace" || o.GetKind() == "CustomResourceDefinition"; {
		case apierrors.IsAlreadyExists(err) && shared:
		case apierrors.IsAlreadyExists(err):
			return fmt.Errorf("%s is there already, and the demo replaces nothing; if an earlier demo or apply left it: kubectl delete pods,net-attach-def -A -l %s=%s",
				describe(o), exampleKey, exampleValue)
		case err != nil:
			return fmt.Errorf("create %s: %w", describe(o), err)
		default:
			c.created = append(c.created, o)
		}
	}
	return nil
}

// createOne tries again what a young cluster refuses: objects of a kind whose CRD is
// just being served, and pods in a namespace that has no account yet. An interruption
// waits for the answer, for it must be known what was made.
func (c *cluster) createOne(ctx context.Context, o *unstructured.Unstructured) error {
	for end := time.Now().Add(20 * time.Second); ; {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		err := c.api.Create(attempt, o)
		cancel()
		young := apierrors.IsNotFound(err) || isNoMatch(err) || apierrors.IsForbidden(err) && strings.Contains(err.Error(), "serviceaccount")
		if !young || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// deleteCreated takes away what create made, CRDs last, and waits until it is gone.
func (c *cluster) deleteCreated(ctx context.Context, say func(string, ...any)) error {
	if len(c.created) > 0 {
		say("deleting from the cluster what the demo made there: %d objects", len(c.created))
	}
	var crds, others []*unstructured.Unstructured
	for _, o := range slices.Backward(c.created) {
		if o.GetKind() == "CustomResourceDefinition" {
			crds = append(crds, o)
		} else {
			others = append(others, o)
		}
	}
	c.created = nil
	err := c.deleteAll(ctx, others, say)
	crds = slices.DeleteFunc(crds, func(o *unstructured.Unstructured) bool {
		used := c.inUse(ctx, o)
		if used {
			say("%s stays: somebody uses it by now", describe(o))
		}
		return used
	})
	return errors.Join(err, c.deleteAll(ctx, crds, say))
}

// deleteAll deletes by the UID: what somebody made anew under the same name is theirs.
func (c *cluster) deleteAll(ctx context.Context, objects []*unstructured.Unstructured, say func(string, ...any)) error {
	var errs []error
	for _, o := range objects {
		uid := o.GetUID()
		err := c.api.Delete(ctx, o, client.Preconditions{UID: &uid})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			errs = append(errs, fmt.Errorf("delete %s: %w; delete it by hand", describe(o), err))
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, o := range objects {
		if err := c.untilGone(ctx, o, say); err != nil {
			errs = append(errs, fmt.Errorf("wait until %s is gone: %w; look at it by hand", describe(o), err))
		}
	}
	return errors.Join(errs...)
}

func (c *cluster) untilGone(ctx context.Context, o *unstructured.Unstructured, say func(string, ...any)) error {
	said := time.Now()
	for uid := o.GetUID(); ; {
		now := o.DeepCopy()
		err := c.api.Get(ctx, client.ObjectKeyFromObject(o), now)
		if apierrors.IsNotFound(err) || err == nil && now.GetUID() != uid {
			return nil
		}
		if time.Since(said) > progressEvery {
			said = time.Now()
			say("waiting until %s is gone", describe(o))
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// inUse reports whether objects of a CRD are left. When that cannot be read they may be.
func (c *cluster) inUse(ctx context.Context, crd *unstructured.Unstructured) bool {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	list := &unstructured.UnstructuredList{}
	list.SetKind(kind + "List")
	for _, v := range versions {
		name, _, _ := unstructured.NestedString(v.(map[string]any), "name")
		list.SetAPIVersion(group + "/" + name)
	}
	err := c.api.List(ctx, list, client.Limit(1))
	return len(list.Items) > 0 || err != nil && !isNoMatch(err) && !apierrors.IsNotFound(err)
}

func describe(o *unstructured.Unstructured) string {
	if o.GetNamespace() == "" {
		return o.GetKind() + " " + o.GetName()
	}
	return o.GetKind() + " " + o.GetNamespace() + "/" + o.GetName()
}
