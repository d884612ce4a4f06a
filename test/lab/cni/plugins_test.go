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
					// go test -json cuts long lines, and the cell is one.
					cell.Result, cell.Because = fail, fmt.Sprintf("%.1000s", err)
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
