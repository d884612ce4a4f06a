package image

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime/debug"
	"time"
)

// The parts of SPDX 2.3 that say which modules a program is made of.
type (
	spdx struct {
		Version       string         `json:"spdxVersion"`
		License       string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      creation       `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Relationships []relationship `json:"relationships"`
	}
	creation struct {
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct {
		Name     string      `json:"name"`
		ID       string      `json:"SPDXID"`
		Version  string      `json:"versionInfo"`
		Download string      `json:"downloadLocation"`
		Analyzed bool        `json:"filesAnalyzed"`
		License  string      `json:"licenseConcluded"`
		Refs     []reference `json:"externalRefs"`
	}
	reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	relationship struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
)

// SBOM says in SPDX 2.3 what a Go program is made of, by the program's own word: its module,
// all modules that are linked in, and Go itself.
func SBOM(program []byte, created time.Time) ([]byte, error) {
	info, err := buildinfo.Read(bytes.NewReader(program))
	if err != nil {
		return nil, fmt.Errorf("read what a program is made of: %w", err)
	}
	return json.MarshalIndent(describe(info, sha256.Sum256(program), created), "", " ")
}

func describe(info *debug.BuildInfo, sum [sha256.Size]byte, created time.Time) *spdx {
	doc := &spdx{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: "SPDXRef-DOCUMENT", Name: info.Path,
		Namespace: fmt.Sprintf("https://%s/sbom/%x", info.Path, sum),
		Creation:  creation{created.UTC().Format(time.RFC3339), []string{"Tool: ibfabric-release"}},
	}
	doc.add(info.Main.Path, info.Main.Version)
	doc.relate("SPDXRef-DOCUMENT", "DESCRIBES", doc.Packages[0].ID)
	doc.add("std", info.GoVersion)
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		doc.add(m.Path, m.Version)
	}
	for _, p := range doc.Packages[1:] {
		doc.relate(doc.Packages[0].ID, "DEPENDS_ON", p.ID)
	}
	return doc
}

func (s *spdx) add(module, version string) {
	s.Packages = append(s.Packages, spdxPackage{
		Name: module, ID: fmt.Sprintf("SPDXRef-%d", len(s.Packages)), Version: version, Download: "NOASSERTION", License: "NOASSERTION",
		Refs: []reference{{"PACKAGE-MANAGER", "purl", "pkg:golang/" + module + "@" + url.PathEscape(version)}},
	})
}

func (s *spdx) relate(from, how, to string) {
	s.Relationships = append(s.Relationships, relationship{from, how, to})
}
