package docs

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ibfabric/ibfabric/test/testbed"
	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// trial runs the commands without a mark of one place, or says who else does.
type trial struct {
	page, begins string
	run          func(t *testing.T, checkout, text string)
	elsewhere    string
}

func trials() []trial {
	return []trial{
		{page: "README.md", begins: "make demo", elsewhere: "CI runs both"},
		{page: "README.md", begins: "make build\nKUBECONFIG", run: controllerFromAShell},
		{page: "README.md", begins: "bin/ufm-sim --http", run: allOnOneMachine},
		{page: "docs/cli.md", begins: "make build", run: buildsThePrograms},
		{page: "docs/quickstart-infiniband.md", begins: "make build", run: buildsThePrograms},
		{page: "docs/quickstart-infiniband.md", begins: "ibfabric ufm cert", run: makesACertificate},
	}
}

// TestCommandsWithoutAMarkRun: each is run, in the order of the page, or carries a mark.
func TestCommandsWithoutAMarkRun(t *testing.T) {
	all := trials()
	used, dir := make([]bool, len(all)), checkOut(t)
	for _, p := range pages(t) {
		for _, part := range p.parts() {
			if part.mark != "" || part.session {
				continue
			}
			found := false
			for i, trial := range all {
				if trial.page != p.path || !strings.HasPrefix(part.text, trial.begins) {
					continue
				}
				found, used[i] = true, true
				if trial.run != nil {
					t.Run(p.path+" "+trial.begins, func(t *testing.T) { trial.run(t, dir, part.text) })
				}
			}
			if !found {
				t.Errorf("%s: no test runs this; give it a mark (docs/README.md), or add it to trials:\n%s", p.path, part.text)
			}
		}
	}
	for i, trial := range all {
		if !used[i] {
			t.Errorf("%s has no commands that begin with %q", trial.page, trial.begins)
		}
	}
}

func buildsThePrograms(t *testing.T, checkout, text string) {
	s := newShell(t, checkout, nil)
	s.run(text)
	for _, name := range []string{"ibfabric", "kubectl-ibfabric", "ibfabric-cni", "ibfabric-controller", "ufm-sim"} {
		if info, err := os.Stat(filepath.Join(s.dir, "bin", name)); err != nil || info.Mode()&0o100 == 0 {
			t.Errorf("bin has no program %s: %v", name, err)
		}
	}
}

func makesACertificate(t *testing.T, checkout, text string) {
	s := newShell(t, checkout, nil)
	s.run("make build")
	s.run(text)
	file, err := os.ReadFile(filepath.Join(s.dir, "ufm.crt"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(file)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.VerifyHostname("172.16.10.10"); err != nil {
		t.Error(err)
	}
}

// controllerFromAShell has a UFM with TLS, which README.md says how to trust.
func controllerFromAShell(t *testing.T, checkout, text string) {
	bed := clusterWithNetworks(t)
	sim, err := ufmsim.New(ufmsim.Config{Username: "admin", Password: "12345"})
	if err != nil {
		t.Fatal(err)
	}
	server, err := sim.Start("127.0.0.1:0")
	if err != nil {
		sim.Close()
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	s := newShell(t, checkout, bed)
	host, port, _ := strings.Cut(server.Addr(), ":")
	s.env = append(s.env, "UFM_PORT="+port, "UFM_CERTIFICATE="+string(server.CertPEM()))
	s.run(strings.NewReplacer("UFM_ADDRESS=…", "UFM_ADDRESS="+host, "UFM_USERNAME=…", "UFM_USERNAME=admin", "UFM_PASSWORD=…", "UFM_PASSWORD=12345").Replace(text))
	s.leads()
}

// allOnOneMachine is the whole way: simulator, controller, the examples' pods, and what UFM
// says of them at the end.
func allOnOneMachine(t *testing.T, checkout, text string) {
	bed := clusterWithNetworks(t)
	s := newShell(t, checkout, bed)
	s.run("make build")
	port := strconv.Itoa(testbed.HoldPort(t))
	text = strings.NewReplacer("8080", port).Replace(text)
	s.run(text)
	s.leads()
	// The last command of the page, until it shows what the demo's table says.
	testbed.Eventually(t, "UFM has the members of the examples", func() (bool, string) {
		have := s.members("http://127.0.0.1:"+port+"/ufmRest/resources/pkeys?guids_data=true", "admin", "123456")
		return have["0x1000"] == 16 && have["0x2000"] == 1 && have["0x20"] == 3, s.said()
	})
	testbed.Eventually(t, "the gates are lifted", func() (bool, string) {
		pods, err := bed.Client().CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(pods.Items) != 3 {
			return false, "not three pods"
		}
		for _, pod := range pods.Items {
			if len(pod.Spec.SchedulingGates) > 0 {
				return false, pod.Name + " stands at its gate\n" + s.said()
			}
		}
		return true, ""
	})
}

func clusterWithNetworks(t *testing.T) *testbed.Cluster {
	t.Helper()
	bed := testbed.Start(t)
	if err := bed.InstallNADCRD(t.Context()); err != nil { // Multus brings it
		t.Fatal(err)
	}
	return bed
}
