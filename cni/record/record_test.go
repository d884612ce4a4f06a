package record

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

func sample() *Record {
	return &Record{
		Plugin: "ib-sriov", Network: "gpu1", ContainerID: "c1", IfName: "net1", Device: "0000:17:00.2",
		NetNS: "/var/run/netns/c1", BootID: "b1", Created: time.Unix(1700000000, 0).UTC(),
		Steps:    []string{StepDevice, StepGUID},
		Original: Original{Driver: "mlx5_core", Name: "ib3", NodeGUID: 0, PortGUID: ^GUID(0), LinkState: "auto"},
		GUID:     0x0200000000000001, PKeys: []PKey{{0x9000, 0}},
		Config: json.RawMessage(`{"name":"gpu1"}`), CNIArgs: "K8S_POD_NAME=p", CNIPath: "/opt/cni/bin",
	}
}

const sampleName = "c1@net1@0000:17:00.2@0200000000000001.json"

var unexported = cmpopts.IgnoreUnexported(Record{})

func TestARecordComesBackAsItWasWritten(t *testing.T) {
	s := NewStore(filepath.Join(t.TempDir(), "made", "here"))
	want := sample()
	if err := s.Write(want); err != nil {
		t.Fatal(err)
	}
	for name, find := range map[string]func() ([]*Record, error){
		"all":       s.All,
		"key":       func() ([]*Record, error) { return s.Of(want.Key()) },
		"device":    func() ([]*Record, error) { return s.OfDevice(want.Device) },
		"container": func() ([]*Record, error) { return s.OfContainer("c1") },
		"GUID":      func() ([]*Record, error) { return s.OfGUID(want.GUID) },
	} {
		got, err := find()
		if diff := cmp.Diff([]*Record{want}, got, unexported); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for name, find := range map[string]func() ([]*Record, error){
		"key":       func() ([]*Record, error) { return s.Of(Key{"c1", "net2"}) },
		"device":    func() ([]*Record, error) { return s.OfDevice("0000:17:00.3") },
		"container": func() ([]*Record, error) { return s.OfContainer("c") },
		"GUID":      func() ([]*Record, error) { return s.OfGUID(want.Original.PortGUID) },
	} {
		if got, err := find(); len(got) != 0 || err != nil {
			t.Errorf("another %s: found %v, %v", name, got, err)
		}
	}
}

func TestARemovedRecordIsGoneAndCanBeRemovedAgain(t *testing.T) {
	s := NewStore(t.TempDir())
	r := sample()
	if err := s.Write(r); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Remove(r); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := os.ReadDir(s.Dir()); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestATornRecordStillSaysWhoseDeviceItIsAbout(t *testing.T) {
	whole, _ := json.Marshal(func() *Record { r := sample(); r.Version = 1; return r }())
	other := strings.Replace(string(whole), `"c1"`, `"c2"`, 1)
	for name, content := range map[string]string{
		"empty":              "",
		"cut off":            string(whole[:len(whole)/2]),
		"of a later version": strings.Replace(string(whole), `"version":1`, `"version":9`, 1),
		"of another":         other,
		"a list":             "[]",
		"a wrong type":       strings.Replace(string(whole), `"ready":false`, `"ready":"no"`, 1),
		"of another GUID":    strings.Replace(string(whole), `0200000000000001`, `0200000000000009`, 1),
		"a GUID of 6 bytes":  strings.Replace(string(whole), `0200000000000001`, `020000000000`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			s := NewStore(t.TempDir())
			file := filepath.Join(s.Dir(), sampleName)
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := s.OfDevice("0000:17:00.2")
			if err != nil || len(got) != 1 || got[0].Torn == nil {
				t.Fatalf("got %v, %v", got, err)
			}
			want := &Record{ContainerID: "c1", IfName: "net1", Device: "0000:17:00.2", GUID: sample().GUID}
			if diff := cmp.Diff(want, got[0], unexported, cmpopts.IgnoreFields(Record{}, "Torn")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if err := s.Write(got[0]); err != nil {
				t.Fatal(err)
			}
			if again, _ := s.All(); len(again) != 1 || again[0].Torn != nil {
				t.Errorf("written again it is %+v", again)
			}
		})
	}
}

func TestForeignFilesArePassedOver(t *testing.T) {
	s := NewStore(t.TempDir())
	for _, name := range []string{
		"README", "c1.json", "c1@net1.json", "." + sampleName, "@@.json", "c1@net1@0200000000000001.json",
		"c1@net1@...json", "c1@net1@..json", "c1@net1@0000:17:00.2@0000000000000000.json", "c1@net1@0000:17:00.2@02000000000000AB.json",
	} {
		if err := os.WriteFile(filepath.Join(s.Dir(), name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// Nor may a reader be led elsewhere, or be held up.
	whole := filepath.Join(t.TempDir(), sampleName)
	if err := errors.Join(os.WriteFile(whole, nil, 0o600), os.Symlink(whole, filepath.Join(s.Dir(), sampleName)), os.Mkdir(filepath.Join(s.Dir(), "c2"+sampleName), 0o700)); err != nil {
		t.Fatal(err)
	}
	if got, err := s.All(); len(got) != 0 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAnAttachmentThatCanBeNoFileIsRefused(t *testing.T) {
	s := NewStore(t.TempDir())
	for _, k := range []Key{{"", "net1"}, {"c1", ""}, {"../c1", "net1"}, {"c@1", "net1"}, {"c1", "a/b"}, {".c", "net1"}, {strings.Repeat("c", 300), "net1"}} {
		r := sample()
		r.ContainerID, r.IfName = k.ContainerID, k.IfName
		if err := s.Write(r); err == nil {
			t.Errorf("%.20q was written", k)
		}
	}
}

func TestNamesOfFilesAreUnambiguous(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &Record{
			ContainerID: rapid.StringMatching(`[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,20}`).Draw(t, "container"),
			IfName:      rapid.StringMatching(`[a-z0-9@._\-]{1,15}`).Draw(t, "interface"),
			Device:      "0000:17:00.2",
		}
		name, err := fileName(r)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := parseName(name)
		if !ok || got.Key() != r.Key() || got.Device != r.Device || got.GUID != r.GUID {
			t.Fatalf("%s reads as %+v", name, got)
		}
	})
}

func TestWhatADeathLeftOfAWriteIsWrittenOver(t *testing.T) {
	s := NewStore(t.TempDir())
	if err := os.WriteFile(filepath.Join(s.Dir(), "."+sampleName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(sample()); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(s.Dir()); len(left) != 1 {
		t.Errorf("%d files, want 1", len(left))
	}
}
