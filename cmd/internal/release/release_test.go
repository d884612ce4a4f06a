package release

import (
	"runtime/debug"
	"testing"
)

func TestText(t *testing.T) {
	const revision = "1f0c2e9a4b7d8e6f5a4b3c2d1e0f9a8b7c6d5e4f"
	for _, c := range []struct{ version, revision, want string }{
		{"v1.2.3", revision, "v1.2.3 (1f0c2e9a4b7d)"},
		{"v1.2.4-0.20260101000000-1f0c2e9a4b7d+dirty", revision, "v1.2.4-0.20260101000000-1f0c2e9a4b7d+dirty"},
		{"(devel)", "", "(devel)"},
		{"", revision, "(unknown version) (1f0c2e9a4b7d)"},
		{"", "short", "(unknown version)"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: c.version}, Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: c.revision}}}
		if got := text(info); got != c.want {
			t.Errorf("version %q, revision %q: %q, want %q", c.version, c.revision, got, c.want)
		}
	}
}
