// Package release says which version of ibfabric a program is.
package release

import (
	"runtime/debug"
	"strings"
)

// Text is the version of this program for a person, as "v1.2.3 (1f0c2e9a4b7d)", with the
// revision where the build had one. Go's own build information has both: a build in a
// checkout of a tag is of that version, and nothing has to be told to the linker.
func Text() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	return text(info)
}

// Version is the version alone, as the build information of another copy of this program
// has it; "(unknown version)" when it is not known.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return unknown
}

const unknown = "(unknown version)"

// shown is how much of a revision is.
const shown = 12

func text(info *debug.BuildInfo) string {
	v := info.Main.Version
	if v == "" {
		v = unknown
	}
	for _, s := range info.Settings {
		// A version between tags ends in the revision itself.
		if s.Key == "vcs.revision" && len(s.Value) >= shown && !strings.Contains(v, s.Value[:shown]) {
			v += " (" + s.Value[:shown] + ")"
		}
	}
	return v
}
