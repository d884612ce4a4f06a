package pages

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
)

//go:embed static/*
var staticFiles embed.FS

// assets are the stylesheet, the script and the picture, by name.
type assets map[string]asset

type asset struct {
	body    []byte
	version string // changes with the body
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	}
	return "image/svg+xml"
}

func loadAssets() assets {
	a := assets{}
	files, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(fmt.Sprintf("the embedded files of the console: %v", err)) // they are in the program
	}
	for _, f := range files {
		body, err := staticFiles.ReadFile("static/" + f.Name())
		if err != nil {
			panic(fmt.Sprintf("the embedded files of the console: %v", err))
		}
		sum := sha256.Sum256(body)
		a[f.Name()] = asset{body: body, version: hex.EncodeToString(sum[:6])}
	}
	return a
}

// url is where an asset is. It changes with the asset, so that a browser may keep it.
func (a assets) url(name string) string { return Prefix + "assets/" + name + "?v=" + a[name].version }

// ServeHTTP implements http.Handler.
func (a assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	found, ok := a[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType(name))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy)
	// During an upgrade a replica may be asked for the other's version: that is not kept.
	if r.URL.Query().Get("v") == found.version {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-store")
	}
	_, _ = w.Write(found.body) // whoever asked has gone
}
