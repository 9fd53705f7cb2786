package web

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestPagesAreServedWithTheirTypes(t *testing.T) {
	cases := []struct {
		handler    http.Handler
		path, kind string
	}{
		{Demo(), "/", "text/html; charset=utf-8"},
		{Demo(), "/demo/app.js", "text/javascript; charset=utf-8"},
		{Demo(), "/demo/style.css", "text/css; charset=utf-8"},
		{Demo(), "/demo/icon.svg", "image/svg+xml"},
		{Landing(), "/", "text/html; charset=utf-8"},
		{Landing(), "/landing/style.css", "text/css; charset=utf-8"},
	}
	for _, c := range cases {
		w := get(t, c.handler, c.path)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != c.kind {
			t.Errorf("%s: %d %s, want 200 %s", c.path, w.Code, w.Header().Get("Content-Type"), c.kind)
		}
	}
}

func TestOnlyFilesOfThePageAreServed(t *testing.T) {
	for _, path := range []string{"/demo/", "/demo/index.html", "/demo/../web.go", "/landing/style.css", "/other"} {
		if w := get(t, Demo(), path); w.Code == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
}

func TestAnUnchangedFileIsNotSentAgain(t *testing.T) {
	first := get(t, Demo(), "/demo/app.js")
	again := get(t, Demo(), "/demo/app.js", "If-None-Match", first.Header().Get("ETag"))
	if again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("got %d with %d bytes, want 304 without", again.Code, again.Body.Len())
	}
}

func TestPagesAllowNoForeignCode(t *testing.T) {
	for _, h := range []http.Handler{Demo(), Landing()} {
		header := get(t, h, "/").Header()
		csp := header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; script-src 'self';") || strings.Contains(csp, "unsafe") {
			t.Errorf("Content-Security-Policy: %s", csp)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
		} {
			if header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, header.Get(name), want)
			}
		}
	}
}

// What the policy forbids would not work, and what comes from elsewhere would break the page without a network.
func TestPagesHoldNothingThatThePolicyForbids(t *testing.T) {
	outside := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z]`)
	inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:`)
	namespace := "http://www.w3.org/2000/svg"
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		text := strings.ReplaceAll(string(b), namespace, "")
		if found := outside.FindString(text); found != "" {
			t.Errorf("%s refers to the outside: %s", name, found)
		}
		if strings.HasSuffix(name, ".html") && inline.MatchString(text) {
			t.Errorf("%s has code or style inside: %s", name, inline.FindString(text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
