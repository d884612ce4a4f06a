//go:build linux

package cni

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/ibfabric/ibfabric/cni/host"
)

func storyLife(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	if err := s.add(ctx, p); err != nil {
		return err
	}
	if err := s.has(ctx, p); err != nil {
		return err
	}
	if err := s.del(ctx, p); err != nil {
		return err
	}
	return s.restored()
}

func storyTwice(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	if err := errors.Join(s.add(ctx, p), s.del(ctx, p), s.del(ctx, p)); err != nil {
		return err
	}
	return s.restored()
}

func storyNamespaceGone(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	if err := s.add(ctx, p); err != nil {
		return err
	}
	s.lab.EndNetNS(p.ns)
	return errors.Join(s.del(ctx, p), s.restored())
}

func storyNoNamespace(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	if err := s.add(ctx, p); err != nil {
		return err
	}
	s.lab.EndNetNS(p.ns)
	p.ns = ""
	if err := errors.Join(s.del(ctx, p), s.restored()); err != nil {
		return err
	}
	// Nothing may be left that a later pod could be taken for.
	if left := stateFiles(); len(left) > 0 && !onlyLocks(left) {
		return fmt.Errorf("state is left: %v", left)
	}
	return nil
}

func onlyLocks(files []string) bool {
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() > 0 {
			return false
		}
	}
	return true
}

func storyTorn(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	if err := s.add(ctx, p); err != nil {
		return err
	}
	for _, file := range stateFiles() {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if err := os.Truncate(file, info.Size()/2); err != nil {
			return err
		}
	}
	err := s.del(ctx, p)
	// What cannot be read may need the namespace's end, and how the VF was nobody knows. But
	// it is there, and without the GUID of a pod that is gone.
	s.lab.EndNetNS(p.ns)
	if err := errors.Join(err, eventually("devices at home", s.lab.allAtHome)); err != nil {
		return err
	}
	for vf, is := range s.lab.look() {
		if g := s.guid(p.id); is.port == g || is.config.PortGUID == g {
			return fmt.Errorf("VF %s has the pod's GUID still: %+v", vf, is)
		}
	}
	return nil
}

func storyRenamed(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	if err := s.add(ctx, p); err != nil {
		return err
	}
	k := s.lab.host
	if n, err := k.Netdev(ctx, p.ns, device(p)); err == nil {
		if err := k.RenameNetdev(ctx, p.ns, n.Index, "mine"); err != nil {
			return err
		}
	}
	if d, err := k.RDMADevice(ctx, p.ns, device(p)); err == nil {
		if err := k.RenameRDMA(ctx, p.ns, d.Index, "mine"); err != nil {
			return err
		}
	}
	if err := s.del(ctx, p); err != nil {
		return err
	}
	return s.restored()
}

// storyNameTaken can be told from an ordinary life only where names are a namespace's.
func storyNameTaken(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	if err := s.add(ctx, p); err != nil {
		return err
	}
	k := s.lab.host
	has, err := k.RDMADevice(ctx, p.ns, device(p))
	if err != nil {
		return err
	}
	other, err := k.RDMADevice(ctx, host.Home, s.vf(1))
	if err != nil {
		return err
	}
	if k.RenameRDMA(ctx, host.Home, other.Index, has.Name) == nil {
		defer func() { _ = k.RenameRDMA(ctx, host.Home, other.Index, other.Name) }()
	}
	if err := s.del(ctx, p); err != nil {
		return err
	}
	return s.restored()
}

func storyNoState(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	if err := errors.Join(os.MkdirAll("/var/lib", 0o755), os.WriteFile("/var/lib/cni", nil, 0o600)); err != nil {
		return err
	}
	if s.add(ctx, p) == nil {
		return errors.New("ADD says that all is well")
	}
	if s.kind == "rdma" { // the stage's part
		if err := s.netdevOut(ctx, p); err != nil {
			return err
		}
	}
	return s.restored()
}

func storyNoIPAM(ctx context.Context, s *stage) error {
	p := s.pod("c1", 0)
	p.config["ipam"] = map[string]any{"type": "none-such"}
	if s.add(ctx, p) == nil {
		return errors.New("ADD says that all is well")
	}
	return s.restored()
}
