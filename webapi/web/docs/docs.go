// Package docs serves the page that shows the API's OpenAPI document. The page is three files of ours: it loads
// nothing but /openapi.json, from this server.
package docs

import (
	"embed"
	"mime"
	"net/http"
	"path"

	"github.com/go-chi/chi/v5"
)

//go:embed index.html docs.css docs.js
var files embed.FS

// policy allows scripts, styles and requests of this server only.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Mount adds /docs and its files to r.
func Mount(r chi.Router) {
	r.Get("/docs", file("index.html"))
	r.Get("/docs/docs.css", file("docs.css"))
	r.Get("/docs/docs.js", file("docs.js"))
}

func file(name string) http.HandlerFunc {
	content, err := files.ReadFile(name)
	if err != nil {
		panic("docs: " + err.Error()) // the file is part of the program
	}
	kind := mime.TypeByExtension(path.Ext(name))
	return func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		_, _ = w.Write(content)
	}
}
