// Package facts reads what a cluster has into values that say so when it could not be read.
package facts

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Fact is something that was looked at. With Err the value means nothing.
type Fact[T any] struct {
	Value T
	Err   error
}

// Absent reports whether a look failed since the cluster has no such kind or object.
func Absent(err error) bool { return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) }

// List reads a list in one request.
func List[L client.ObjectList, T any](ctx context.Context, c client.Reader, l L, items func(L) []T, opts ...client.ListOption) Fact[[]T] {
	if err := c.List(ctx, l, opts...); err != nil {
		return Fact[[]T]{Err: err}
	}
	return Fact[[]T]{Value: items(l)}
}

// Kind lists objects of a kind that this program has no type for.
func Kind(ctx context.Context, c client.Reader, group, version, kind string) Fact[[]unstructured.Unstructured] {
	l := &unstructured.UnstructuredList{}
	l.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: version, Kind: kind + "List"})
	return List(ctx, c, l, func(l *unstructured.UnstructuredList) []unstructured.Unstructured { return l.Items })
}

// Named narrows a list to objects of a name, in whatever namespace.
func Named(name string) client.ListOption {
	return client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", name)}
}
