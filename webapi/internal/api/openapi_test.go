package api

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/imtier/imtier/pkg/imhelper"
)

// offline is an API that is never called: its table and document need no Redis.
func offline(t *testing.T) *API {
	t.Helper()
	return New(Options{Helper: new(imhelper.Helper), Log: zap.NewNop(), Metrics: prometheus.NewRegistry()})
}

type document struct {
	OpenAPI string `json:"openapi"`
	Info    struct{ Title, Version string }
	Paths   map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Summary     string
		Tags        []string
		Parameters  []struct {
			Name, In string
			Required bool
			Schema   json.RawMessage
		}
		RequestBody *struct {
			Content map[string]struct{ Schema json.RawMessage }
		} `json:"requestBody"`
		Responses map[string]struct {
			Description string
			Content     map[string]struct{ Schema json.RawMessage }
		}
		Security []map[string][]string
	}
	Components struct {
		Schemas         map[string]any
		SecuritySchemes map[string]struct{ Type, Scheme, In, Name string } `json:"securitySchemes"`
	}
}

func readDocument(t *testing.T, a *API) (doc document, raw []byte) {
	t.Helper()
	raw, err := a.document()
	if err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("OPENAPI_OUT"); path != "" { // to look at it
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return doc, raw
}

func TestDocumentHasEveryRouteAndNoOther(t *testing.T) {
	a := offline(t)
	h, err := a.Handler()
	if err != nil {
		t.Fatal(err)
	}
	var served, described []string
	err = chi.Walk(h.(chi.Routes), func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		if strings.HasPrefix(path, "/v1/") {
			served = append(served, method+" "+path)
		} else if !slices.Contains([]string{"/openapi.json", "/docs", "/docs/docs.css", "/docs/docs.js"}, path) {
			t.Errorf("%s %s is outside of /v1 and no page", method, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	doc, _ := readDocument(t, a)
	for path, methods := range doc.Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	if !slices.Equal(served, described) {
		t.Errorf("served:    %q\ndescribed: %q", served, described)
	}
	if len(served) != 29 {
		t.Errorf("%d routes, 29 were agreed on", len(served))
	}
}

// TestDocumentIsWellFormed checks what OpenAPI 3.1 demands of the parts that are used here.
func TestDocumentIsWellFormed(t *testing.T) {
	doc, raw := readDocument(t, offline(t))
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") || doc.Info.Title == "" || doc.Info.Version == "" {
		t.Errorf("openapi %q, info %+v", doc.OpenAPI, doc.Info)
	}
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			where := method + " " + path
			if op.OperationID == "" || ids[op.OperationID] || op.Summary == "" || len(op.Tags) != 1 {
				t.Errorf("%s: id %q, summary %q, tags %q", where, op.OperationID, op.Summary, op.Tags)
			}
			ids[op.OperationID] = true
			inPath := 0
			for _, p := range op.Parameters {
				if p.Schema == nil || p.In == "path" && !p.Required {
					t.Errorf("%s: parameter %+v", where, p)
				}
				if p.In == "path" {
					inPath++
					if !strings.Contains(path, "{"+p.Name+"}") {
						t.Errorf("%s: parameter %s is not in the path", where, p.Name)
					}
				}
			}
			if inPath != strings.Count(path, "{") {
				t.Errorf("%s: %d path parameters", where, inPath)
			}
			for _, status := range []string{"400", "401", "500", "503"} {
				if op.Responses[status].Content["application/problem+json"].Schema == nil {
					t.Errorf("%s: no problem for %s", where, status)
				}
			}
			for _, s := range op.Security {
				for name := range s {
					if _, ok := doc.Components.SecuritySchemes[name]; !ok {
						t.Errorf("%s: security scheme %q is not defined", where, name)
					}
				}
			}
			if len(op.Security) < 2 {
				t.Errorf("%s: security %v", where, op.Security)
			}
		}
	}
	checkRefs(t, doc, raw)
}

// checkRefs demands that every reference leads to a schema, and that every schema is used.
func checkRefs(t *testing.T, doc document, raw []byte) {
	t.Helper()
	used := map[string]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, "#/components/schemas/")
				used[name] = true
				if doc.Components.Schemas[name] == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, x := range v {
				walk(x)
			}
		case []any:
			for _, x := range v {
				walk(x)
			}
		}
	}
	var all any
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	walk(all)
	for name := range doc.Components.Schemas {
		if !used[name] {
			t.Errorf("schema %s is not used", name)
		}
	}
}

func TestDocumentDescribesTypesAsTheyAreOnTheWire(t *testing.T) {
	doc, _ := readDocument(t, offline(t))
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	direct := text(doc.Components.Schemas["DirectBody"])
	if s := text(doc.Components.Schemas["Receivers"]); !strings.Contains(s, `"oneOf":[{"type":"string"},{"items":{"type":"string"}`) {
		t.Errorf("Receivers is %s", s)
	}
	if s := text(doc.Components.Schemas["Send"]); !strings.Contains(s, `"required":["id","results"]`) {
		t.Errorf("Send is %s", s)
	}
	for name, s := range doc.Components.Schemas {
		if strings.Contains(text(s), `"null"`) {
			t.Errorf("%s may be null: %s", name, text(s))
		}
	}
	for _, want := range []string{`"required":["to"]`, `"format":"base64"`, `"enum":["none","delivered","read"]`} {
		if !strings.Contains(direct, want) {
			t.Errorf("DirectBody has no %s: %s", want, direct)
		}
	}
	for _, name := range []string{"BatchItem", "BatchResult"} {
		if s := text(doc.Components.Schemas[name]); strings.Count(s, "$ref") != 3 || !strings.Contains(s, "oneOf") {
			t.Errorf("%s is %s", name, s)
		}
	}
}
