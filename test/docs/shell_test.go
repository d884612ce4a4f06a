package docs

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/syntax"

	"github.com/ibfabric/ibfabric/test/programs"
	"github.com/ibfabric/ibfabric/test/testbed"
)

// shell follows commands in a checkout of its own, as a reader would in a terminal. The test
// bed plays kubectl, and what runs on is started so that it ends with the test.
type shell struct {
	t        *testing.T
	dir      string
	bed      *testbed.Cluster // nil: no cluster is needed
	env      []string         // of programs that serve
	launcher *programs.Launcher
	logs     []string
}

// checkout is what make build needs of a checkout.
var checkout = strings.Fields("go.mod go.sum Makefile cmd cni controller deploy guid pkey ufm")

// checkOut copies it.
func checkOut(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, name := range checkout {
		from, to := filepath.Join(root, name), filepath.Join(dir, name)
		info, err := os.Stat(from)
		if err == nil && info.IsDir() {
			err = os.CopyFS(to, os.DirFS(from))
		} else if err == nil {
			err = os.WriteFile(to, []byte(read(t, name)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newShell(t *testing.T, dir string, bed *testbed.Cluster) *shell {
	t.Helper()
	s := &shell{t: t, dir: dir, bed: bed, launcher: programs.NewLauncher()}
	t.Cleanup(s.launcher.Close)
	// Other tests of this machine may have these ports.
	s.env = []string{"IBFABRIC_HEALTH_ADDRESS=0", "IBFABRIC_CONSOLE_ADDRESS=0"}
	return s
}

// run follows commands one after the other. Programs that serve must be the last, or stand
// in the background.
func (s *shell) run(text string) {
	s.t.Helper()
	if s.bed != nil {
		text = strings.ReplaceAll(text, "KUBECONFIG=…", "KUBECONFIG="+s.bed.Kubeconfig())
	}
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		s.t.Fatal(err)
	}
	for i, stmt := range file.Stmts {
		c, ok := stmt.Cmd.(*syntax.CallExpr)
		if !ok {
			s.t.Fatalf("this is no plain command: %s", text)
		}
		var words, env []string
		for _, w := range c.Args {
			words = append(words, plainWord(w.Parts))
		}
		for _, a := range c.Assigns {
			env = append(env, a.Name.Value+"="+plainWord(a.Value.Parts))
		}
		s.command(words, env, stmt.Background, i+1 < len(file.Stmts))
	}
}

// command runs one; more says that others stand behind it.
func (s *shell) command(words, env []string, background, more bool) {
	s.t.Helper()
	switch name := path.Base(words[0]); name {
	case "kubectl":
		s.kubectl(words[1:])
	case "curl": // members asks the same, until the answer is the one
	case "ufm-sim", "ibfabric-controller":
		if !background && more {
			s.t.Errorf("%s does not come back, and more commands stand behind it", words[0])
		}
		s.serve(words, env)
	case "ibfabric":
		s.wait(exec.CommandContext(s.t.Context(), filepath.Join(s.dir, "bin", name), words[1:]...), env)
	case "make":
		s.wait(exec.CommandContext(s.t.Context(), name, words[1:]...), env)
	default:
		s.t.Fatalf("nobody here runs %s", words)
	}
}

func (s *shell) wait(cmd *exec.Cmd, env []string) {
	s.t.Helper()
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

func (s *shell) serve(words, env []string) {
	s.t.Helper()
	log := filepath.Join(s.t.TempDir(), path.Base(words[0])+".log")
	p, err := s.launcher.Start(programs.Command{Program: filepath.Join(s.dir, words[0]), Args: words[1:], Env: append(s.env, env...), Log: log})
	if err != nil {
		s.t.Fatal(err)
	}
	s.logs = append(s.logs, log)
	s.t.Cleanup(p.Kill)
}

// kubectl creates what stands in a folder, as the real one does, in the order of names.
func (s *shell) kubectl(args []string) {
	s.t.Helper()
	if len(args) != 3 || args[0] != "create" || args[1] != "-f" {
		s.t.Fatalf("kubectl is not played for %q", args)
	}
	files, err := filepath.Glob(filepath.Join(s.dir, args[2], "*.yaml"))
	if err != nil || len(files) == 0 {
		s.t.Fatalf("%s: %q, %v", args[2], files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = s.bed.Apply(s.t.Context(), text)
		}
		if err != nil {
			s.t.Fatalf("%s: %v", file, err)
		}
	}
}

// leads waits until the controller has taken over.
func (s *shell) leads() {
	s.t.Helper()
	testbed.Eventually(s.t, "the controller leads", func() (bool, string) {
		said := s.said()
		return strings.Contains(said, `"event":"leader.adopted"`), said
	})
}

// said is what the programs wrote that were started.
func (s *shell) said() (all string) {
	for _, log := range s.logs {
		text, err := os.ReadFile(log)
		if err != nil {
			s.t.Fatal(err)
		}
		all += string(text)
	}
	return all
}

// members counts the members of each partition that a UFM shows.
func (s *shell) members(url, user, password string) map[string]int {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, url, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth(user, password)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	var partitions map[string]struct{ GUIDs []json.RawMessage }
	if err := json.NewDecoder(res.Body).Decode(&partitions); err != nil {
		return nil
	}
	count := map[string]int{}
	for name, p := range partitions {
		count[name] = len(p.GUIDs)
	}
	return count
}
