// Package install puts the plugins into a node's CNI bin directory.
//
// Each name gets a copy of the binary, a file of its own. Links would save some megabytes,
// but other installers write with cp: that follows a link, and one of them would turn all
// our names into its own plugin. No file is ever written to where a runtime can find it:
// what comes is written beside, synced, and renamed over what was. A call that runs the
// old file keeps it, and there is no moment without a plugin.
package install

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// Self is the name under which the binary itself is installed, for install, doctor and gc.
const Self = "ibfabric-cni"

// Policy says who wins when another program has one of our names.
type Policy string

const (
	Refuse  Policy = "refuse"  // install nothing at all, and say so
	Replace Policy = "replace" // ours takes the name; theirs is kept for Restore
	Keep    Policy = "keep"    // theirs keeps the name
)

// ParsePolicy reads one of the three.
func ParsePolicy(s string) (Policy, error) {
	if p := Policy(s); slices.Contains([]Policy{Refuse, Replace, Keep}, p) {
		return p, nil
	}
	return "", fmt.Errorf("%q says not who wins over a foreign plugin; write refuse, replace or keep", s)
}

// ParseNames reads names of plugins with commas between.
func ParseNames(s string) ([]string, error) {
	var names []string
	for name := range strings.SplitSeq(s, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(Names(), name) {
			return nil, fmt.Errorf("%q is no plugin of ibfabric; choose from %s", name, strings.Join(Names(), ","))
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Installer works on one CNI bin directory.
type Installer struct {
	Dir     string   // as /opt/cni/bin
	Source  string   // the binary to install
	Names   []string // plugins; the binary's own name comes with them
	Foreign Policy
	// Look says whose file stands under a name; Look of this package, unless a test
	// knows better.
	Look func(dir, name string) (Binary, error)
}

// Change is one name that was changed.
type Change struct {
	Name     string
	Was, Now Binary
	Kept     string // where the former file is, "" when there was none
}

func (c Change) String() string {
	line := fmt.Sprintf("%s: %s, was %s", c.Name, c.Now, c.Was)
	if c.Kept != "" {
		line += ", kept as " + c.Kept
	}
	return line
}

// keptDir holds one former generation of each name. Runtimes look plugins up by name in
// the directory itself, so they never find these.
const keptDir = ".ibfabric-previous"

func (i Installer) path(name string) string { return filepath.Join(i.Dir, name) }
func (i Installer) kept(name string) string { return filepath.Join(i.Dir, keptDir, name) }

// Install makes every name a copy of Source and reports what it changed: nothing, when
// all is right already. With Refuse and a foreign file it changes nothing and returns an
// error that names all of them.
func (i Installer) Install(ctx context.Context) ([]Change, error) {
	names := append(slices.Clone(i.Names), Self)
	plan, err := i.plan(names)
	if err != nil || len(plan) == 0 {
		return nil, err
	}
	var done []Change
	err = i.locked(ctx, func() error {
		// Another installer may have been at work while this one waited.
		if plan, err = i.plan(names); err != nil {
			return err
		}
		for _, c := range plan {
			if err := i.put(&c); err != nil {
				return fmt.Errorf("installing CNI plugin %s into %s: %w", c.Name, i.Dir, err)
			}
			done = append(done, c)
		}
		return nil
	})
	return done, err
}

// plan lists the names that are not as they should be.
func (i Installer) plan(names []string) (plan []Change, err error) {
	if info, err := os.Stat(i.Dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is no CNI bin directory (%w): mount or make the node's there, or name it with --cni-bin-dir", i.Dir, cmp.Or(err, errNotFolder))
	}
	var foreign []string
	for _, name := range names {
		was, err := i.Look(i.Dir, name)
		if err != nil {
			return nil, err
		}
		if was.Owner == Foreign && i.Foreign != Replace {
			foreign = append(foreign, fmt.Sprintf("%s is %s", name, was))
			continue
		}
		right, err := i.right(name)
		if err != nil {
			return nil, err
		}
		if !right {
			plan = append(plan, Change{Name: name, Was: was})
		}
	}
	if len(foreign) > 0 && i.Foreign != Keep {
		return nil, fmt.Errorf("not ours in %s: %s; nothing was changed. --foreign=replace takes the names and keeps those files for --restore, --foreign=keep leaves them, --only names other plugins", i.Dir, strings.Join(foreign, ", "))
	}
	return plan, nil
}

var errNotFolder = errors.New("not a folder")

// right reports whether a name is a runnable copy of Source: a file, not a link to one.
func (i Installer) right(name string) (bool, error) {
	info, err := os.Lstat(i.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at CNI plugin %s: %w", i.path(name), err)
	}
	if !info.Mode().IsRegular() || info.Mode().Perm() != mode {
		return false, nil
	}
	return sameContent(i.path(name), i.Source)
}

// put keeps what stands under the name and renames the copy over it.
func (i Installer) put(c *Change) error {
	beside, err := copyBeside(i.Dir, i.Source)
	if err != nil {
		return err
	}
	defer os.Remove(beside) // fails once it was renamed
	if c.Kept, err = i.keep(*c); err != nil {
		return fmt.Errorf("keeping the former one: %w", err)
	}
	if err := os.Rename(beside, i.path(c.Name)); err != nil {
		return err
	}
	if c.Now, err = i.Look(i.Dir, c.Name); err != nil {
		return err
	}
	return syncDir(i.Dir)
}

// keep stores what stands under the name in keptDir and returns where; the name itself
// stays. The same content with another mode is no former generation.
func (i Installer) keep(c Change) (string, error) {
	if c.Was.Owner == Missing {
		return "", nil
	}
	if same, err := sameContent(i.path(c.Name), i.Source); err != nil || same {
		return "", err
	}
	beside, err := copyBeside(i.Dir, i.path(c.Name))
	if err != nil {
		return "", err
	}
	defer os.Remove(beside)
	kept := i.kept(c.Name)
	if err := os.Rename(beside, kept); err != nil {
		return "", err
	}
	return kept, syncDir(filepath.Dir(kept))
}

// Restore puts the kept files back, for the names that have one. It uses them up: a
// second call finds nothing, so it can be repeated.
func (i Installer) Restore(ctx context.Context) ([]Change, error) {
	var done []Change
	if _, err := os.Stat(filepath.Join(i.Dir, keptDir)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	err := i.locked(ctx, func() error {
		for _, name := range append(slices.Clone(i.Names), Self) {
			if _, err := os.Lstat(i.kept(name)); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			c, err := i.restore(name)
			if err != nil {
				return fmt.Errorf("restoring CNI plugin %s in %s: %w", name, i.Dir, err)
			}
			done = append(done, c)
		}
		return nil
	})
	return done, err
}

func (i Installer) restore(name string) (c Change, err error) {
	c.Name = name
	if c.Was, err = i.Look(i.Dir, name); err != nil {
		return c, err
	}
	if err = os.Rename(i.kept(name), i.path(name)); err != nil {
		return c, err
	}
	if c.Now, err = i.Look(i.Dir, name); err != nil {
		return c, err
	}
	return c, syncDir(i.Dir)
}

// locked runs f alone on the directory, without what a killed installer left.
func (i Installer) locked(ctx context.Context, f func() error) error {
	if err := os.MkdirAll(filepath.Join(i.Dir, keptDir), 0o755); err != nil {
		return fmt.Errorf("making room for former plugins: %w", err)
	}
	lock := flock.New(i.kept("lock"))
	defer lock.Close()
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return fmt.Errorf("waiting for another installer in %s: %w", i.Dir, err)
	}
	left, err := filepath.Glob(i.path(besidePrefix + "*"))
	if err != nil {
		return err
	}
	for _, file := range left {
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("removing what an earlier install left: %w", err)
		}
	}
	return f()
}
