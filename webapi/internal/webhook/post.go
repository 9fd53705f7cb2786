package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxIgnored is how much of an answer that nobody looks at is read, in bytes, so that the connection can be used again.
const maxIgnored = 64 << 10

// payload is the body of a webhook as the specification recommends it.
type payload struct {
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"` // of what happened, RFC 3339
	Data      json.RawMessage `json:"data"`
}

func encode(typ string, at time.Time, data any) (json.RawMessage, error) {
	raw, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode a webhook: %w", err)
	}
	return json.Marshal(payload{typ, at.UTC().Format("2006-01-02T15:04:05.000Z07:00"), raw})
}

// refusal is an answer other than 2xx.
type refusal struct {
	status int
	after  time.Duration // Retry-After
	body   []byte
}

func (r *refusal) Error() string {
	return fmt.Sprintf("the receiver answered %d %s", r.status, http.StatusText(r.status))
}

// post makes one attempt. It returns at most limit bytes of a 2xx answer's body, and else a refusal or what went wrong
// on the way.
func (w *Webhook) post(ctx context.Context, id string, body []byte, limit int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.o.URL, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	now := time.Now()
	var signatures []string
	for _, s := range w.signers {
		signature, err := s.Sign(id, now, body)
		if err != nil {
			return nil, fmt.Errorf("sign a webhook: %w", err)
		}
		signatures = append(signatures, signature)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "imtier")
	req.Header.Set(standardwebhooks.HeaderWebhookID, id)
	req.Header.Set(standardwebhooks.HeaderWebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	req.Header.Set(standardwebhooks.HeaderWebhookSignature, strings.Join(signatures, " "))
	resp, err := w.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", withoutURL(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+1))
	if resp.StatusCode/100 != 2 {
		return nil, &refusal{resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), now), answer}
	}
	if limit > maxIgnored && len(answer) > limit {
		return nil, errAnswerTooBig
	}
	if err != nil && limit > maxIgnored { // it matters to who looks at it only
		return nil, fmt.Errorf("read the answer: %w", err)
	}
	return answer, nil
}

// withoutURL takes the URL out of an error of http.Client: it may hold a secret.
func withoutURL(err error) error {
	var named *url.Error
	if errors.As(err, &named) {
		return named.Err
	}
	return err
}

var errAnswerTooBig = errors.New("the answer is too big")

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(text string, now time.Time) time.Duration {
	d := time.Duration(0)
	if n, err := strconv.ParseUint(text, 10, 31); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = at.Sub(now)
	}
	return max(d, 0)
}
