package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

const (
	callTimeout = 10 * time.Second // webapi answers within 3 s whatever happens behind it; the rest is a busy machine
	idleConns   = 64               // kept open to webapi
)

// API is one webapi. It is safe for concurrent use.
type API struct {
	base, key string
	http      *http.Client
}

// New makes an API for base, such as http://127.0.0.1:8080.
func New(base, key string) *API {
	t := &http.Transport{MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns}
	return &API{base: base, key: key, http: &http.Client{Transport: t, Timeout: callTimeout}}
}

// Close ends the connections that are kept open.
func (a *API) Close() { a.http.CloseIdleConnections() }

// Problem is an answer that is not 2xx.
type Problem struct {
	Status     int    `json:"status"`
	Code       string `json:"code"`
	Detail     string `json:"detail"`
	Field      string `json:"field"`
	RetryAfter string `json:"-"`
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail) }

// Do makes one call. in and out are JSON and may be nil. An answer that is not 2xx is a *Problem; any other error means
// that whether the call took place is not known.
func (a *API) Do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+a.key)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode/100 != 2 {
		p := &Problem{RetryAfter: resp.Header.Get("Retry-After")}
		_ = json.Unmarshal(answer, p) // the status is enough
		p.Status = resp.StatusCode
		return p
	}
	if out == nil || len(answer) == 0 {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// ConnectRequest is the body of POST /v1/connect.
type ConnectRequest struct {
	ClientID     string   `json:"clientId"`
	Device       string   `json:"device,omitempty"`
	Groups       []string `json:"groups,omitempty"`
	UntilOffline bool     `json:"untilOffline,omitempty"`
	TTL          int      `json:"ttl,omitempty"` // seconds
}

// Connect asks for a URL.
func (a *API) Connect(ctx context.Context, r ConnectRequest) (string, error) {
	var out struct {
		URL string `json:"url"`
	}
	err := a.Do(ctx, http.MethodPost, "/v1/connect", r, &out)
	return out.URL, err
}

// Message is the body of a send of any kind; fields that the kind does not have stay empty.
type Message struct {
	To           []string `json:"to,omitempty"`
	From         string   `json:"from,omitempty"`
	Data         any      `json:"data"`
	ID           string   `json:"id,omitempty"`
	ExceptSender bool     `json:"exceptSender,omitempty"`
	Ephemeral    bool     `json:"ephemeral,omitempty"`
	Receipt      string   `json:"receipt,omitempty"`
}

// Sent is the answer to a send of any kind.
type Sent struct {
	ID        string `json:"id"`
	Pos       string `json:"pos"`
	Duplicate bool   `json:"duplicate"`
	Results   []struct {
		ClientID  string `json:"clientId"`
		Pos       string `json:"pos"`
		Online    bool   `json:"online"`
		Duplicate bool   `json:"duplicate"`
	} `json:"results"`
}

// Send sends to clients.
func (a *API) Send(ctx context.Context, m Message) (s Sent, err error) {
	err = a.Do(ctx, http.MethodPost, "/v1/messages", m, &s)
	return s, err
}

// SendGroup sends to a group.
func (a *API) SendGroup(ctx context.Context, group string, m Message) (s Sent, err error) {
	err = a.Do(ctx, http.MethodPost, "/v1/groups/"+url.PathEscape(group)+"/messages", m, &s)
	return s, err
}

// Broadcast sends to everybody.
func (a *API) Broadcast(ctx context.Context, m Message) (s Sent, err error) {
	err = a.Do(ctx, http.MethodPost, "/v1/broadcast", m, &s)
	return s, err
}

// Client is what is known of a client.
type Client struct {
	Online      bool     `json:"online"`
	Groups      []string `json:"groups"`
	Connections []struct {
		ConnID string `json:"connId"`
		Node   string `json:"node"`
	} `json:"connections"`
}

// Client asks for a client.
func (a *API) Client(ctx context.Context, id string) (c Client, err error) {
	err = a.Do(ctx, http.MethodGet, "/v1/clients/"+url.PathEscape(id), nil, &c)
	return c, err
}

// Node is an imserver in the registry.
type Node struct {
	ID          string `json:"id"`
	URL         string `json:"url"`
	Connections int    `json:"connections"`
	Draining    bool   `json:"draining"`
}

// Nodes lists the registry.
func (a *API) Nodes(ctx context.Context) ([]Node, error) {
	var out struct {
		Nodes []Node `json:"nodes"`
	}
	err := a.Do(ctx, http.MethodGet, "/v1/nodes", nil, &out)
	return out.Nodes, err
}

// Join makes clients members of a group.
func (a *API) Join(ctx context.Context, group string, clients ...string) error {
	in := map[string]any{"add": clients}
	return a.Do(ctx, http.MethodPost, "/v1/groups/"+url.PathEscape(group)+"/members", in, nil)
}

// Leave ends the memberships of clients in a group.
func (a *API) Leave(ctx context.Context, group string, clients ...string) error {
	in := map[string]any{"remove": clients}
	return a.Do(ctx, http.MethodPost, "/v1/groups/"+url.PathEscape(group)+"/members", in, nil)
}

// Group is what there is to know about a group.
type Group struct {
	Members int `json:"members"`
	Online  int `json:"online"`
}

// Group counts the members of a group.
func (a *API) Group(ctx context.Context, group string) (g Group, err error) {
	err = a.Do(ctx, http.MethodGet, "/v1/groups/"+url.PathEscape(group), nil, &g)
	return g, err
}

// OnlineClients lists everybody who is online.
func (a *API) OnlineClients(ctx context.Context) (ids []string, err error) {
	for cursor := ""; ; {
		var page struct {
			Clients []struct {
				ClientID string `json:"clientId"`
			} `json:"clients"`
			Next string `json:"next"`
		}
		if err := a.Do(ctx, http.MethodGet, "/v1/clients?limit=1000&cursor="+url.QueryEscape(cursor), nil, &page); err != nil {
			return ids, err
		}
		for _, c := range page.Clients {
			ids = append(ids, c.ClientID)
		}
		if cursor = page.Next; cursor == "" {
			return ids, nil
		}
	}
}

// Online asks who of many clients is online.
func (a *API) Online(ctx context.Context, clients ...string) (map[string]bool, error) {
	var out struct {
		Online map[string]bool `json:"online"`
	}
	err := a.Do(ctx, http.MethodPost, "/v1/clients/query", map[string]any{"clientIds": clients}, &out)
	return out.Online, err
}
