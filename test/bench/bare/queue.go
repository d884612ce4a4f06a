package main

import (
	"context"
	"sync"

	"github.com/ibfabric/ibfabric/guid"
	"github.com/ibfabric/ibfabric/pkey"
)

type action int

const (
	add action = iota
	remove
)

// batch is one call to UFM in the making.
type batch struct {
	do    action
	pkey  pkey.PKey
	guids []guid.GUID
	pods  []*pod // of guids, one for one
}

// queue holds the next call for each PKey, the one that waits longest first.
type queue struct {
	mu    sync.Mutex // protects what follows
	order []*batch
	open  map[target]*batch
	news  chan struct{} // has one when order may have some
}

type target struct {
	do   action
	pkey pkey.PKey
}

func newQueue() *queue {
	return &queue{open: map[target]*batch{}, news: make(chan struct{}, 1)}
}

func (q *queue) put(do action, p *pod) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range p.writes {
		t := target{do, w.Claims[0].PKey}
		b := q.open[t]
		if b == nil {
			b = &batch{do: do, pkey: t.pkey}
			q.open[t] = b
			q.order = append(q.order, b)
		}
		b.guids, b.pods = append(b.guids, w.GUID), append(b.pods, p)
	}
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take waits for the next call to be made.
func (q *queue) take(ctx context.Context) (*batch, error) {
	for {
		if b := q.first(); b != nil {
			return b, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-q.news:
		}
	}
}

func (q *queue) first() *batch {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.order) == 0 {
		return nil
	}
	b := q.order[0]
	q.order = q.order[1:]
	delete(q.open, target{b.do, b.pkey})
	return b
}
