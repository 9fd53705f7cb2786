// Package imhelper is how a backend uses imtier: it sends to clients, groups and everybody, issues the URLs by which
// clients connect, manages groups, and learns who is online, without an HTTP hop. The webapi is the same over HTTP.
//
//	import "github.com/imtier/imtier/pkg/imhelper"
//
//	o, err := imhelper.OptionsFromEnv()                                        // or imhelper.Options{RedisURL: …, SigningKeys: …}
//	h, err := imhelper.New(ctx, o)
//	c, err := h.PreConnect(ctx, imhelper.ConnectRequest{ClientID: "alice"})    // give c.URL to alice's page
//	r, err := h.Send(ctx, imhelper.Message{To: []string{"alice"}, Data: json.RawMessage(`"hello"`)})
//
// The module github.com/imtier/imtier/pkg is not published yet. Beside a clone of the repository, go get is replaced by
//
//	go mod edit -require=github.com/imtier/imtier/pkg@v0.0.0 -replace=github.com/imtier/imtier/pkg=../imtier/pkg
//	go mod tidy
//
// What methods return is, encoded as JSON, what the HTTP API answers: times are Unix milliseconds, positions are text. A
// backend may pass it on to a page as it is.
//
// A call checks its arguments (FieldError), then talks to Redis; the imservers that hold the addressed clients take
// it from there. Nothing here knows an imserver but PreConnect, which picks the one that a URL leads to:
//
//	Send → check → OnSend → store: append to the inboxes and publish, in one script per partition → imservers
//
// Errors are told apart with errors.Is: ErrInvalid (a *FieldError that names the field), ErrUnavailable, ErrNoNode,
// ErrNotFound, ErrVetoed. A call ends by itself within 3 seconds when Redis does not answer, walks over large groups
// excepted; a context that ends earlier ends it earlier, and then a send may or may not have taken place.
package imhelper
