package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestSumsAreThoseOfEveryFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"b": "", "a": "abc"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := sums(dir); err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(dir, sumsFile))
	if err != nil {
		t.Fatal(err)
	}
	// Of "abc" and of nothing, as FIPS 180-2 and everybody has them.
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n" +
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  b\n"
	if string(have) != want {
		t.Errorf("%s\nwant\n%s", have, want)
	}
}

func TestAVersionIsOneForTagsChartsAndImages(t *testing.T) {
	for version, want := range map[string]bool{
		"v1.2.3": true, "v1.2.3-rc.1": true, "v0.0.0-g1f0c2e9a4b7d": true,
		"1.2.3": false, "v1.2": false, "v1.2.3+dirty": false, "latest": false, "": false,
	} {
		if semver.MatchString(version) != want {
			t.Errorf("version %q: %t", version, !want)
		}
	}
}
