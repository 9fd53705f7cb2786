package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/swaggest/jsonschema-go"
	openapi "github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"
)

const (
	schemeKey    = "apiKey"
	schemeHeader = "apiKeyHeader"
	schemeUser   = "userToken"
)

// about is the document's introduction.
const about = "Sends messages to clients that hold WebSockets, manages groups, and tells who is online.\n\n" +
	"Every request carries an API key: `Authorization: Bearer <key>`, or `X-API-Key: <key>`. Bodies are JSON; unknown " +
	"fields are refused. Errors are `application/problem+json` (RFC 9457) with a stable `code` and, where one is to " +
	"blame, the `field`. Times are Unix milliseconds.\n\n" +
	"`clientId` and `group` are 1–128 bytes of UTF-8 without control characters; in a path they are percent-encoded."

// document makes the OpenAPI document from the route table.
func (a *API) document() ([]byte, error) {
	r := openapi31.NewReflector()
	r.Spec.Info.WithTitle("imtier webapi").WithVersion("1").WithDescription(about)
	r.SpecEns().SetHTTPBearerTokenSecurity(schemeKey, "", "An API key.")
	r.SpecEns().SetAPIKeySecurity(schemeHeader, "X-API-Key", openapi.InHeader, "An API key.")
	r.SpecEns().SetHTTPBearerTokenSecurity(schemeUser, "JWT", "The product's own user token, when the server is set up for them.")
	r.DefaultOptions = append(r.DefaultOptions, jsonschema.InterceptDefName(defName), jsonschema.InterceptSchema(describeTypes),
		jsonschema.InterceptNullability(neverNull))
	for i := range a.routes {
		if err := describe(r, &a.routes[i]); err != nil {
			return nil, fmt.Errorf("describe %s %s: %w", a.routes[i].method, a.routes[i].path, err)
		}
	}
	doc, err := json.MarshalIndent(r.Spec, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode the OpenAPI document: %w", err)
	}
	return doc, nil
}

func describe(r *openapi31.Reflector, row *route) error {
	oc, err := r.NewOperationContext(row.method, row.path)
	if err != nil {
		return err
	}
	oc.SetID(row.id)
	oc.SetTags(row.tag)
	oc.SetSummary(row.summary)
	oc.SetDescription(row.detail)
	oc.AddSecurity(schemeKey)
	oc.AddSecurity(schemeHeader)
	if row.access == byUser {
		oc.AddSecurity(schemeUser)
	}
	oc.AddReqStructure(row.in)
	if row.status == http.StatusNoContent {
		oc.AddRespStructure(nil, openapi.WithHTTPStatus(row.status))
	} else {
		oc.AddRespStructure(row.out, openapi.WithHTTPStatus(row.status), openapi.WithContentType(row.contentType))
	}
	for _, status := range row.statuses() {
		oc.AddRespStructure(new(Problem), openapi.WithHTTPStatus(status), openapi.WithContentType("application/problem+json"))
	}
	return r.AddOperation(oc)
}

// statuses are the problems that a route may answer with.
func (r *route) statuses() []int {
	s := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusInternalServerError, http.StatusServiceUnavailable,
	}
	if r.body {
		s = append(s, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	s = append(s, r.problems...)
	slices.Sort(s)
	return s
}

// defName gives schemas the names of their types without the package and the In or Out of this one.
func defName(t reflect.Type, _ string) string {
	name := strings.TrimSuffix(t.Name(), "Out")
	if name == "" {
		return t.String()
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// describeTypes corrects schemas where the JSON is not what the Go type looks like.
func describeTypes(p jsonschema.InterceptSchemaParams) (stop bool, err error) {
	t := p.Value.Type()
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[receivers]() && !p.Processed:
		id := jsonschema.String.ToSchemaOrBool()
		list := (&jsonschema.Schema{}).WithItems(jsonschema.Items{SchemaOrBool: &id}).WithMinItems(1).WithMaxItems(1000)
		list.AddType(jsonschema.Array)
		p.Schema.Type = nil
		p.Schema.OneOf = []jsonschema.SchemaOrBool{id, list.ToSchemaOrBool()}
		return true, nil
	case t.Kind() == reflect.Struct && p.Processed && strings.HasSuffix(t.Name(), "Out"):
		p.Schema.Required = always(t)
	}
	return false, nil
}

// always lists the fields of an output that are never left out.
func always(t reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(t) {
		if tag := f.Tag.Get("json"); tag != "" && !strings.Contains(tag, ",omitempty") {
			names = append(names, tag)
		}
	}
	return names
}

// neverNull says that nothing is null: absent fields are left out, empty lists are [], and inputs do not want it.
func neverNull(p jsonschema.InterceptNullabilityParams) {
	if p.Schema != nil && p.Schema.Type != nil {
		p.Schema.RemoveType(jsonschema.Null)
	}
}
