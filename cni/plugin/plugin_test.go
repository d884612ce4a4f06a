package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/host"
	"github.com/ibfabric/ibfabric/cni/record"
	"github.com/ibfabric/ibfabric/cni/txn"
)

// ipamScript puts an IPAM plugin into a folder: it writes down its call and answers.
func ipamScript(t *testing.T, answer string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	script := "#!/bin/sh\nenv | grep ^CNI_ | sort > " + dir + "/env\ncat > " + dir + "/stdin\n" + answer
	if err := os.WriteFile(filepath.Join(dir, "fakeipam"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func ipamRecord(dir string) *record.Record {
	return &record.Record{
		ContainerID: "c1", IfName: "net1", NetNS: "/var/run/netns/c1", CNIArgs: "K8S_POD_NAME=p", CNIPath: "/none:" + dir,
		Config: json.RawMessage(`{"cniVersion":"1.0.0","name":"gpu1","ipam":{"type":"fakeipam"}}`),
	}
}

func TestIPAMIsCalledForTheAttachmentOfTheRecord(t *testing.T) {
	// The call that the program itself got is about another attachment.
	t.Setenv("CNI_CONTAINERID", "other")
	t.Setenv("CNI_IFNAME", "other")
	dir := ipamScript(t, `echo '{"cniVersion":"1.0.0","ips":[{"address":"10.0.0.5/24"}]}'`)
	rec := ipamRecord(dir)
	result, err := ExecIPAM{}.Add(t.Context(), rec)
	if err != nil || len(result.IPs) != 1 || result.IPs[0].Address.String() != "10.0.0.5/24" {
		t.Fatalf("got %v, %v", result, err)
	}
	env, _ := os.ReadFile(filepath.Join(dir, "env"))
	want := "CNI_ARGS=K8S_POD_NAME=p\nCNI_COMMAND=ADD\nCNI_CONTAINERID=c1\nCNI_IFNAME=net1\nCNI_NETNS=/var/run/netns/c1\nCNI_PATH=" + rec.CNIPath + "\n"
	if string(env) != want {
		t.Errorf("environment:\n%s", env)
	}
	if stdin, _ := os.ReadFile(filepath.Join(dir, "stdin")); string(stdin) != string(rec.Config) {
		t.Errorf("configuration %s", stdin)
	}
	if err := (ExecIPAM{}).Del(t.Context(), rec); err != nil {
		t.Error(err)
	}
	if env, _ := os.ReadFile(filepath.Join(dir, "env")); !strings.Contains(string(env), "CNI_COMMAND=DEL") {
		t.Errorf("environment of DEL:\n%s", env)
	}
}

func TestAnIPAMPluginsErrorSaysWhichOneAndWhy(t *testing.T) {
	rec := ipamRecord(ipamScript(t, `echo '{"code":100,"msg":"the pool is empty"}'; exit 1`))
	if _, err := (ExecIPAM{}).Add(t.Context(), rec); err == nil || !strings.Contains(err.Error(), "fakeipam") || !strings.Contains(err.Error(), "the pool is empty") {
		t.Errorf("got %v", err)
	}
	rec.CNIPath = "/none"
	var coded *Error
	if _, err := (ExecIPAM{}).Add(t.Context(), rec); !errors.As(err, &coded) || coded.Field != "ipam.type" {
		t.Errorf("an absent plugin: %v", err)
	}
}

func TestAnErrorsCodeSurvivesWrappingAndJoining(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		code uint
	}{
		"plain":   {errors.New("x"), types.ErrInternal},
		"invalid": {fmt.Errorf("while: %w", Invalid("guid", "bad")), types.ErrInvalidNetworkConfig},
		"later":   {errors.Join(Later("not yet"), errors.New("and more")), types.ErrTryAgainLater},
		"busy":    {fmt.Errorf("while: %w", &txn.BusyError{}), types.ErrTryAgainLater},
		"in use":  {&txn.InUseError{}, types.ErrTryAgainLater},
	} {
		var got *types.Error
		if !errors.As(ToCNI(c.err), &got) || got.Code != c.code || strings.Contains(got.Msg, "\n") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if ToCNI(nil) != nil {
		t.Error("no error became one")
	}
}

func TestWhatIsNotThereIsAwaitedAndWhatIsWrongIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, looks := time.Now(), 0
		look := func() (int, error) {
			if looks++; time.Since(start) >= 3*time.Second {
				return 7, nil
			}
			return 0, fmt.Errorf("netdev: %w", host.ErrNotFound)
		}
		if got, err := Await(t.Context(), 10*time.Second, look); got != 7 || err != nil || looks > 30 {
			t.Errorf("got %d, %v after %d looks", got, err, looks)
		}
		start = time.Now()
		if _, err := Await(t.Context(), time.Second, look); !errors.Is(err, host.ErrNotFound) || time.Since(start) != time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		broken := errors.New("broken")
		if _, err := Await(t.Context(), time.Hour, func() (int, error) { return 0, broken }); !errors.Is(err, broken) {
			t.Errorf("got %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Await(ctx, time.Hour, look); err == nil {
			t.Error("a cancelled wait found something")
		}
	})
}

func TestAnIPAMPluginThatDoesNotKnowACommandHasSaidNothing(t *testing.T) {
	for answer, silent := range map[string]bool{
		`{"code":4,"msg":"unknown CNI_COMMAND: GC"}`:              true,
		`{"code":1,"msg":"config version does not allow STATUS"}`: true,
		`{"code":50,"msg":"the daemon is away"}`:                  false,
		`{"code":999,"msg":"the pool is broken"}`:                 false,
	} {
		rec := ipamRecord(ipamScript(t, "echo '"+answer+"'; exit 1"))
		for command, call := range map[string]func(context.Context, *record.Record) error{"CHECK": ExecIPAM{}.Check, "STATUS": ExecIPAM{}.Status, "GC": ExecIPAM{}.GC} {
			if err := call(t.Context(), rec); (err == nil) != silent {
				t.Errorf("%s answered %s: %v", command, answer, err)
			}
		}
	}
}

func TestWhereaboutsWhichHasNoCHECKHasSaidNothing(t *testing.T) {
	rec := ipamRecord(ipamScript(t, `echo '{"code":999,"msg":"CNI CHECK method is not implemented"}'; exit 1`))
	if err := (ExecIPAM{}).Check(t.Context(), rec); err != nil {
		t.Errorf("CHECK: %v", err)
	}
	if err := (ExecIPAM{}).Del(t.Context(), rec); err == nil {
		t.Error("DEL takes it for an answer, too")
	}
}

func TestAnIPAMPluginThatHangsIsGivenUpWithItsChildren(t *testing.T) {
	rec := ipamRecord(ipamScript(t, "sleep 90 &\nwait"))
	done := make(chan error, 1)
	go func() {
		_, err := ExecIPAM{Limit: 100 * time.Millisecond}.Add(context.Background(), rec)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || !strings.Contains(err.Error(), "did not answer within") {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute): // generous; it has failed when it waits for the child
		t.Error("it is waited for without end")
	}
}

func TestAnAnswerWithNullInAListIsAnError(t *testing.T) {
	for _, version := range []string{"0.3.1", "0.4.0", "1.0.0", "1.1.0"} {
		for _, list := range []string{"interfaces", "ips", "routes"} {
			answer := `{"cniVersion":"` + version + `","` + list + `":[null]}`
			if _, err := Previous([]byte(`{"cniVersion":"` + version + `","name":"x","prevResult":` + answer + `}`)); err == nil || !strings.Contains(err.Error(), list) {
				t.Errorf("prevResult %s: %v", answer, err)
			}
			rec := ipamRecord(ipamScript(t, "echo '"+answer+"'"))
			rec.Config = json.RawMessage(`{"cniVersion":"` + version + `","name":"gpu1","ipam":{"type":"fakeipam"}}`)
			if _, err := (ExecIPAM{}).Add(t.Context(), rec); err == nil || !strings.Contains(err.Error(), list) {
				t.Errorf("IPAM %s: %v", answer, err)
			}
		}
	}
}

func TestAKeyInOtherLettersIsNotTheField(t *testing.T) {
	type input struct {
		DeviceID string `json:"deviceID"`
		PKey     string `json:"pkey,omitempty"`
	}
	for text, want := range map[string]input{
		`{"deviceID":"a","deviceId":"b","DEVICEID":"c"}`: {DeviceID: "a"},
		`{"deviceId":"b"}`:                      {},
		`{"deviceID":"a","p\u212aey":"x"}`:      {DeviceID: "a"}, // a Kelvin sign
		`{"deviceID":"a","pkey":"x","other":1}`: {DeviceID: "a", PKey: "x"},
		`null`:                                  {},
	} {
		var got input
		if err := Decode([]byte(text), &got); got != want || err != nil {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
	var got input
	for text, says := range map[string]string{`{`: "reading the configuration", `[]`: "reading the configuration", `{"deviceId":1,"deviceID":7}`: "deviceID: is a JSON number"} {
		if err := Decode([]byte(text), &got); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
