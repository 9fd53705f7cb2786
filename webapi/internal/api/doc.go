// Package api is the HTTP face of package imhelper: every route under /v1, the OpenAPI document made from the same
// table, and the page that shows it.
//
//	request → recover → CORS → chi → authenticate → decode In, strictly → resource method → encode Out or a Problem
//
// A resource (messages.go, groups.go, …) is a struct with a routes method that returns rows of the route table
// (route.go). A row names its input and output types; handle (handle.go) turns it into an http.Handler and openapi.go
// into a part of the document, so neither can be forgotten. Inputs are structs whose fields carry a path, query or
// json tag. Validation of values lives in imhelper, whose FieldError becomes a 400 that names the field.
//
// Package webapi creates the API once it has a connection to Redis.
package api
