//go:build linux

package cni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ibfabric/ibfabric/cni/host"
)

// pluginStory is one that any plugin must live through, whoever's it is. It says what went
// wrong.
type pluginStory struct {
	name  string
	kinds string // CNI types that it is for; empty: all
	play  func(context.Context, *stage) error
}

func pluginStories() []pluginStory {
	return []pluginStory{
		{"ADD gives a pod its device, DEL takes it back", "", storyLife},
		{"DEL can be repeated", "", storyTwice},
		{"DEL after the namespace has ended", "", storyNamespaceGone},
		{"DEL without a namespace, as after a reboot of the runtime", "", storyNoNamespace},
		{"DEL with a torn state file", "", storyTorn},
		{"DEL finds what the pod has renamed", "", storyRenamed},
		{"DEL though another device has its name by now", "ib-sriov rdma", storyNameTaken},
		{"an ADD that cannot save its state leaves nothing behind", "", storyNoState},
		{"an ADD whose IPAM fails leaves nothing behind", "ib-sriov sriov", storyNoIPAM},
		{"an ADD killed at any moment is put right by DEL", "", storyKilled},
		{"a device in use is not given to another pod", "", storyInUse},
		{"a late DEL takes nothing from the next pod", "", storyLate},
		{"an ADD without the partition fails and leaves nothing behind", "ib-sriov", storyStranger},
		{"CHECK finds that the device has gone", "", storyCheck},
		{"seven ADDs and seven DELs at once", "", storyCrowd},
	}
}

// storyCell is what became of one; test/lab/report reads it.
type storyCell struct {
	Plugin  string `json:"plugin"`
	Kind    string `json:"kind"`
	Kernel  string `json:"kernel"`
	Story   string `json:"story"`
	Result  string `json:"result"`
	Because string `json:"because,omitempty"`
}

const storyCells = "plugins.json"

// playPrograms plays every program in pluginDir.
func playPrograms(t *testing.T, lab *Lab) {
	files, err := filepath.Glob(filepath.Join(pluginDir, "*", "*"))
	must(t, err)
	name, err := release()
	must(t, err)
	parts := strings.SplitN(name, ".", 3)
	var cells []storyCell
	for _, file := range files {
		whose, kind := filepath.Base(filepath.Dir(file)), filepath.Base(file)
		for _, story := range pluginStories() {
			title := whose + " " + kind + ": " + story.name
			if !story.isFor(kind) || !wanted(pluginsWanted, title) {
				continue
			}
			cell := storyCell{whose, kind, parts[0] + "." + parts[1], story.name, pass, ""}
			out := rehearse(t, lab, title, func(t *testing.T) {
				lab.At(t)
				if err := playPlugin(t.Context(), newStage(lab, program{file}, kind), story); err != nil {
					cell.Result, cell.Because = fail, err.Error()
					t.Log(err)
				}
				if cell.Result == fail && whose == ours {
					t.Fail()
				}
			})
			if cells = append(cells, cell); whose == ours {
				note(t, out)
			}
		}
	}
	text, err := json.Marshal(cells)
	must(t, errors.Join(err, os.WriteFile("/out/"+storyCells, text, 0o600)))
}

func (s pluginStory) isFor(kind string) bool {
	return s.kinds == "" || strings.Contains(" "+s.kinds+" ", " "+kind+" ")
}

// longestStory is far more than any takes that goes well.
const longestStory = 3 * time.Minute

func playPlugin(ctx context.Context, s *stage, story pluginStory) error {
	ctx, cancel := context.WithTimeout(ctx, longestStory)
	defer cancel()
	defer forgetState()
	return story.play(ctx, s)
}

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
