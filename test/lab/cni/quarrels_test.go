//go:build linux

package cni

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ibfabric/ibfabric/cni/host"
)

// storyKilled cannot know a program's steps, and takes moments of the time it needs.
func storyKilled(ctx context.Context, s *stage) error {
	p := s.pod("c0", 0)
	begun := time.Now()
	if err := s.add(ctx, p); err != nil {
		return err
	}
	took := time.Since(begun)
	if err := errors.Join(s.del(ctx, p), s.restored()); err != nil {
		return err
	}
	const moments = 6
	for i := 1; i < moments; i++ {
		p := s.pod(fmt.Sprint("c", i), 0)
		after := took * time.Duration(i) / moments
		killed, cancel := context.WithTimeout(ctx, after)
		_ = s.add(killed, p)
		cancel()
		if err := errors.Join(s.del(ctx, p), s.restored()); err != nil {
			return fmt.Errorf("killed after %v of %v: %w", after, took, err)
		}
	}
	return nil
}

func storyInUse(ctx context.Context, s *stage) error {
	first, second := s.pod("c1", 0), s.pod("c2", 0)
	if err := s.add(ctx, first); err != nil {
		return err
	}
	if s.add(ctx, second) == nil {
		return errors.New("the second ADD says that all is well")
	}
	// As runtimes do after an ADD that failed.
	if err := errors.Join(s.del(ctx, second), s.has(ctx, first)); err != nil {
		return err
	}
	return errors.Join(s.del(ctx, first), s.restored())
}

func storyLate(ctx context.Context, s *stage) error {
	first, second := s.pod("c1", 0), s.pod("c2", 0)
	if err := s.add(ctx, first); err != nil {
		return err
	}
	s.lab.EndNetNS(first.ns)
	if err := eventually("devices at home", s.lab.allAtHome); err != nil {
		return err
	}
	if err := s.add(ctx, second); err != nil {
		return err
	}
	_, err := s.plugin.call(ctx, "DEL", first)
	if err := errors.Join(err, s.has(ctx, second)); err != nil {
		return err
	}
	return errors.Join(s.del(ctx, second), s.restored())
}

func storyStranger(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	s.lab.Program(s.guid("c1"), 0x7fff)
	p.config["fabricTimeout"] = "2s"
	if s.add(ctx, p) == nil {
		return errors.New("ADD says that all is well")
	}
	return errors.Join(s.del(ctx, p), s.restored())
}

func storyCheck(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	if err := s.add(ctx, p); err != nil {
		return err
	}
	if p.config["prevResult"] == nil {
		p.config["prevResult"] = map[string]any{"cniVersion": "1.0.0", "interfaces": []any{map[string]any{"name": "net1", "sandbox": string(p.ns)}}}
	}
	if _, err := s.plugin.call(ctx, "CHECK", p); err != nil {
		return fmt.Errorf("CHECK of a pod that has everything: %w", err)
	}
	if err := s.rob(ctx, p); err != nil {
		return fmt.Errorf("the stage: %w", err)
	}
	if _, err := s.plugin.call(ctx, "CHECK", p); err == nil {
		return errors.New("CHECK says that all is well")
	}
	return nil
}

// rob takes from a pod what its network gives.
func (s *stage) rob(ctx context.Context, p interfaceOf) error {
	k := s.lab.host
	if s.kind == "sriov" {
		n, err := k.Netdev(ctx, p.ns, device(p))
		if err != nil {
			return err
		}
		return k.MoveNetdev(ctx, p.ns, n.Index, host.Home, "robbed")
	}
	d, err := k.RDMADevice(ctx, p.ns, device(p))
	if err != nil {
		return err
	}
	return k.MoveRDMA(ctx, p.ns, d.Index, host.Home)
}

func storyCrowd(ctx context.Context, s *stage) error {
	var pods []interfaceOf
	for i := range vfsPerPF {
		pods = append(pods, s.pod(fmt.Sprint("c", i), i))
	}
	all := func(do func(context.Context, interfaceOf) error) error {
		var g errgroup.Group
		for _, p := range pods {
			if s.kind == "rdma" { // the stage's part, one by one
				if err := s.netdevIn(ctx, p); err != nil {
					return err
				}
			}
			g.Go(func() error { return do(ctx, p) })
		}
		return g.Wait()
	}
	call := func(command string) func(context.Context, interfaceOf) error {
		return func(ctx context.Context, p interfaceOf) error {
			_, err := s.plugin.call(ctx, command, p)
			return err
		}
	}
	if err := all(call("ADD")); err != nil {
		return err
	}
	for _, p := range pods {
		if err := s.has(ctx, p); err != nil {
			return err
		}
	}
	if err := all(call("DEL")); err != nil {
		return err
	}
	if s.kind == "rdma" {
		for _, p := range pods {
			if err := s.netdevOut(ctx, p); err != nil {
				return err
			}
		}
	}
	return s.restored()
}
