//go:build linux

package node

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
)

// The door has rights at the API server: on this machine anybody can knock.
func TestOnlyWhoKnowsTheSecretIsLetIn(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.URL.Path, " as ", r.Header.Get("Authorization"))
	}))
	defer api.Close()
	program := filepath.Join(t.TempDir(), "inside")
	must(t, os.WriteFile(program, []byte("a program"), 0o600))
	d, err := openDoor(Config{
		Kubelet: &rest.Config{Host: api.URL, BearerToken: "kubelet"}, Multus: &rest.Config{Host: api.URL, BearerToken: "multus"}, Inside: program,
	})
	must(t, err)
	defer d.close()
	ask := func(url string) (int, string) {
		t.Helper()
		response, err := http.Get(url)
		must(t, err)
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		must(t, err)
		return response.StatusCode, string(text)
	}
	for _, who := range []string{kubeletDoor, multusDoor} {
		if _, text := ask(d.api("127.0.0.1", who) + "/api/v1/pods"); text != "/api/v1/pods as Bearer "+who {
			t.Errorf("%s is answered %q", who, text)
		}
	}
	if _, text := ask(d.file("127.0.0.1", insideProgram)); text != "a program" {
		t.Errorf("the file is %q", text)
	}
	for _, url := range []string{d.api("127.0.0.1", kubeletDoor) + "/api", d.file("127.0.0.1", insideProgram)} {
		for _, wrong := range []string{"", "x", strings.ToLower(d.secret)} {
			if code, text := ask(strings.Replace(url, d.secret, wrong, 1)); code != http.StatusNotFound {
				t.Errorf("with the secret %q the answer is %d %q", wrong, code, text)
			}
		}
	}
}
