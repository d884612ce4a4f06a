package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const password = "Pass_word_of_UFM"

// TestSecretTakesThePasswordFromAnywhereButTheArguments prints the same Secret each time.
func TestSecretTakesThePasswordFromAnywhereButTheArguments(t *testing.T) {
	f := newFake(t)
	trust := writeFile(t, "ufm.crt", otherCA(t))
	base := []string{"ufm", "secret", "--ufm-address", "example.com", "--username", "admin", "--certificate", trust}
	file := writeFile(t, "password", password+"\n")
	for name, test := range map[string]struct {
		in   string
		asks bool
		more []string
	}{
		"file":   {"", false, []string{"--password-file", file}},
		"stdin":  {password + "\n", false, []string{"--password-stdin"}},
		"prompt": {password + "\n", true, nil},
	} {
		f.in, f.asks = test.in, test.asks
		r := f.run(append(base, test.more...)...)
		var s corev1.Secret
		if err := yaml.UnmarshalStrict([]byte(r.out), &s); r.code != 0 || err != nil {
			t.Fatalf("%s: %v %+v", name, err, r)
		}
		if got := string(s.Data["UFM_PASSWORD"]); got != password || s.Namespace != "kube-system" || s.Name != "ib-kubernetes-ufm-secret" || s.Kind != "Secret" {
			t.Errorf("%s: %s", name, r.out)
		}
		if strings.Contains(r.err, password) || strings.Contains(r.out, password) {
			t.Errorf("%s: the password can be read", name)
		}
	}
	f.in, f.asks = "", false
	for name, args := range map[string][]string{
		"nobody to ask": base,
		"both":          append(base, "--password-file", file, "--password-stdin"),
		"no such file":  append(base, "--password-file", "nowhere"),
		"argument":      append(base, "--password", password),
		"empty":         append(base, "--password-stdin"),
	} {
		if r := f.run(args...); r.code != 2 || r.out != "" || strings.Contains(r.err, password) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestCertWritesFilesThatOnlyTheirOwnerReads(t *testing.T) {
	f := newFake(t)
	dir := t.TempDir()
	r := f.run("ufm", "cert", "ufm.example.com", "--dir", dir)
	if r.code != 0 || !strings.Contains(r.out, "ibfabric ufm secret --ufm-address ufm.example.com") {
		t.Fatalf("%+v", r)
	}
	key, err := os.Stat(filepath.Join(dir, "ufm.key"))
	if err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", key, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "ufm.key"))
	if err != nil || strings.Contains(r.out+r.err, string(text[40:80])) {
		t.Errorf("%v; or the key is printed", err)
	}
	if r := f.run("ufm", "cert", "ufm.example.com", "--dir", dir); r.code != 2 || !strings.Contains(r.err, "--force") {
		t.Errorf("it writes over a key: %+v", r)
	}
	again, err := os.ReadFile(filepath.Join(dir, "ufm.key"))
	if err != nil || string(again) != string(text) {
		t.Error("the key is another one")
	}
	if r := f.run("ufm", "bogus"); r.code != 2 {
		t.Errorf("%+v", r)
	}
}
