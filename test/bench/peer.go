package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ibfabric/ibfabric/test/peers"
)

// peerPeriod is ib-kubernetes' default for DAEMON_PERIODIC_UPDATE.
const peerPeriod = 5 * time.Second

var errNoCompiler = peers.ErrNoCompiler

// ibKubernetes builds the peer into the cache, and runs it as its deployment does, with
// its defaults.
func ibKubernetes(ctx context.Context, root string, limit time.Duration) (contender, error) {
	peer, err := peers.FindIBKubernetes(ctx, root)
	if err != nil {
		return contender{}, err
	}
	stop := report(func() string { return "building ib-kubernetes " + peer.Version + " (once)" })
	err = peer.Build(ctx)
	stop()
	if err != nil {
		return contender{}, err
	}
	return contender{
		name: "ib-kubernetes " + peer.Version, program: peer.Program(),
		env:   append(peer.Environment(), fmt.Sprintf("DAEMON_PERIODIC_UPDATE=%d", int(peerPeriod.Seconds()))),
		ready: "running periodic add update", limit: limit, peer: true,
	}, nil
}
