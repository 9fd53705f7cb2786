package scenario

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/imtier/imtier/bench/internal/clients"
)

const (
	senderConns = 32 // requests under way at once
	sendLimit   = 30 * time.Second
	batchSize   = 500
)

// sender is a backend that sends through webapi.
type sender struct {
	url    string
	client *http.Client
}

func newSender(addr string) *sender {
	return &sender{url: "http://" + addr, client: &http.Client{
		Timeout: sendLimit, Transport: &http.Transport{MaxIdleConnsPerHost: senderConns},
	}}
}

func (s *sender) close() { s.client.CloseIdleConnections() }

// post sends a body and reads the answer into result unless that is nil.
func (s *sender) post(ctx context.Context, path string, body, result any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(encode(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+sendKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Errorf("%s: read the answer: %w", path, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %.200s", path, resp.Status, text)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(text, result)
}

// broadcast sends to everybody.
func (s *sender) broadcast(ctx context.Context, data []byte) error {
	return s.post(ctx, "/v1/broadcast", map[string]any{"from": "bench", "data": json.RawMessage(data)}, nil)
}

// directTo is a message to a client, by its number, that was due at a time.
func directTo(n int32, due time.Time) sendBody {
	data := clients.DirectData(int(n), sendSize)
	clients.Stamp(data, due)
	return sendBody{To: clients.ClientID(int(n)), From: "bench", Data: data}
}

// direct sends to one client.
func (s *sender) direct(ctx context.Context, n int32, due time.Time) error {
	return s.post(ctx, "/v1/messages", directTo(n, due), nil)
}

// batch sends one message to each of at most batchSize clients.
func (s *sender) batch(ctx context.Context, to []int32) error {
	sends := make([]sendBody, len(to))
	for i, n := range to {
		sends[i] = directTo(n, time.Now())
		sends[i].Kind = "direct"
	}
	var answer struct {
		Results []struct {
			ID     string `json:"id"`
			Status int    `json:"status"` // of a problem
			Detail string `json:"detail"`
		} `json:"results"`
	}
	if err := s.post(ctx, "/v1/batch", map[string]any{"sends": sends}, &answer); err != nil {
		return err
	}
	if len(answer.Results) != len(to) {
		return fmt.Errorf("/v1/batch answers %d of %d sends", len(answer.Results), len(to))
	}
	for i, res := range answer.Results {
		if res.ID == "" || res.Status != 0 {
			return fmt.Errorf("/v1/batch: send %d: %d %s", i, res.Status, res.Detail)
		}
	}
	return nil
}
