package console

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"github.com/ibfabric/ibfabric/controller"
	"github.com/ibfabric/ibfabric/controller/console/api"
	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

// Reclaim has unclaimed members removed from UFM, exactly those that are named, as user
// asks.
func (a *Answers) Reclaim(ctx context.Context, request api.ReclaimRequest, user string) (answer api.ReclaimAnswer, err error) {
	if err := a.leads(); err != nil {
		return answer, err
	}
	if n := len(request.Members); n == 0 || n > api.MaxReclaim {
		return answer, badRequest("name 1 to %d members, each by pkey and guid", api.MaxReclaim)
	}
	if err := a.c.MayReclaim(); err != nil {
		return answer, &api.Error{Code: http.StatusConflict, Message: err.Error()}
	}
	byPKey := map[pkey.PKey][]guid.GUID{}
	failed := map[controller.Member]error{}
	for _, m := range request.Members {
		if !a.c.IsUnclaimed(controller.Member{PKey: m.PKey, GUID: m.GUID}) {
			failed[controller.Member{PKey: m.PKey, GUID: m.GUID}] = controller.ErrNotUnclaimed
			continue
		}
		byPKey[m.PKey] = append(byPKey[m.PKey], m.GUID)
	}
	if !request.DryRun {
		a.reclaim(ctx, byPKey, user, failed)
	}
	for _, m := range request.Members {
		result := api.ReclaimResult{MemberName: m, Removed: true}
		if err := failed[controller.Member{PKey: m.PKey, GUID: m.GUID}]; err != nil {
			result.Removed, result.Error = false, err.Error()
		}
		answer.Results = append(answer.Results, result)
	}
	return answer, nil
}

// reclaim has each partition's worker do its part, and notes what failed.
func (a *Answers) reclaim(ctx context.Context, byPKey map[pkey.PKey][]guid.GUID, user string, failed map[controller.Member]error) {
	var mu sync.Mutex // protects failed
	var all sync.WaitGroup
	for p, guids := range byPKey {
		all.Go(func() {
			of, err := a.c.Reclaim(ctx, p, guids, user)
			mu.Lock()
			defer mu.Unlock()
			for _, g := range guids {
				if e := of[g]; e != nil || err != nil {
					failed[controller.Member{PKey: p, GUID: g}] = orFirst(err, e)
				}
			}
		})
	}
	all.Wait()
}

func orFirst(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Release frees held GUIDs from the wait for their node, as user vouches.
func (a *Answers) Release(ctx context.Context, request api.ReleaseRequest, user string) (answer api.ReleaseAnswer, err error) {
	if err := a.leads(); err != nil {
		return answer, err
	}
	if n := len(request.GUIDs); n == 0 || n > api.MaxReclaim {
		return answer, badRequest("name 1 to %d GUIDs", api.MaxReclaim)
	}
	if request.DryRun {
		for _, g := range request.GUIDs {
			freeAt, err := a.c.MayVouch(ctx, g)
			answer.Results = append(answer.Results, released(api.ReleaseResult{GUID: g, FreeAt: utc(freeAt)}, err))
		}
		return answer, nil
	}
	freeAt, failed := a.c.Vouch(ctx, request.GUIDs, user)
	for _, g := range request.GUIDs {
		answer.Results = append(answer.Results, released(api.ReleaseResult{GUID: g, FreeAt: utc(freeAt[g])}, failed[g]))
	}
	return answer, nil
}

func released(r api.ReleaseResult, err error) api.ReleaseResult {
	if r.Released = err == nil; err != nil {
		r.Error = fmt.Sprint(err)
	}
	return r
}
