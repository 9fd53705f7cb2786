// Package web holds the pages that webapi serves, embedded into the program, and the headers they are served with.
// The pages load nothing from anywhere else, and run no script that is not a file of theirs.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed demo/*.html demo/*.css demo/*.svg demo/*.js landing
var files embed.FS

const index = "index.html"

// policy allows scripts, styles and images of this server only. A WebSocket leads to an imserver, which has a
// host and port of its own that is not known here.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Demo is the chat page: / and its files under /demo/.
func Demo() http.Handler { return pages("demo") }

// Landing is what / shows when the demo is off: what this server is, and where its API is described.
func Landing() http.Handler { return pages("landing") }

// pages serves a folder's files under /<dir>/, and its index at /.
func pages(dir string) http.Handler {
	mux := http.NewServeMux()
	err := fs.WalkDir(files, dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		route := "GET /" + name
		if path.Base(name) == index {
			route = "GET /{$}"
		}
		mux.Handle(route, page(name, content))
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("web: embedded %s: %v", dir, err)) // the files are part of the program
	}
	return secure(mux)
}

// page serves one file. Browsers ask each time whether it changed, since its name stays when the program is updated.
func page(name string, content []byte) http.Handler {
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	kind := mime.TypeByExtension(path.Ext(name))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("ETag", tag)
		h.Set("Cache-Control", "no-cache")
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}

// secure adds the headers that every page needs.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		next.ServeHTTP(w, r)
	})
}
