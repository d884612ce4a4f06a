package rig

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Edit changes an object that others write too: it is read, changed and written, and all of
// that again where somebody was there in between. obj says which one, and is read into.
func Edit[T client.Object](ctx context.Context, api client.Client, obj T, change func(T)) error {
	return edit(ctx, api, obj, change, func() error { return api.Update(ctx, obj) })
}

// EditStatus is Edit of an object's status.
func EditStatus[T client.Object](ctx context.Context, api client.Client, obj T, change func(T)) error {
	return edit(ctx, api, obj, change, func() error { return api.Status().Update(ctx, obj) })
}

func edit[T client.Object](ctx context.Context, api client.Client, obj T, change func(T), write func() error) error {
	again := wait.Backoff{Steps: 20, Duration: 5 * time.Millisecond, Factor: 1.5, Jitter: 0.5, Cap: time.Second}
	return retry.RetryOnConflict(again, func() error {
		if err := api.Get(ctx, client.ObjectKeyFromObject(obj), obj); err != nil {
			return err
		}
		change(obj)
		return write()
	})
}
