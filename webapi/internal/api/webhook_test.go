package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/imtier/imtier/pkg/imhelper"
)

// receiver takes dead letters, but for those with a key that it refuses.
type receiver struct {
	h      *imhelper.Helper
	refuse string
	got    []string
}

func (r *receiver) Redeliver(ctx context.Context, d imhelper.DeadLetter) error {
	if d.Key == r.refuse {
		return errors.New("it answered 500")
	}
	r.got = append(r.got, d.Key)
	return r.h.RemoveDeadLetter(ctx, d.ID)
}

func TestDeadLettersAreListedAndRedelivered(t *testing.T) {
	r := &receiver{}
	f := start(t, func(o *Options) { r.h, o.Webhook = o.Helper, r })
	for i := range 4 {
		letter := imhelper.DeadLetter{Key: fmt.Sprint("evt_", i), Body: []byte(`{"type":"online"}`), Error: "500", Attempts: 6}
		if err := r.h.KeepDeadLetter(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
	}
	const path = "/v1/webhook/dead-letters"
	var list, rest deadLettersOut
	f.call(http.MethodGet, path+"?limit=3", "").into(http.StatusOK, &list)
	f.call(http.MethodGet, path+"?limit=3&cursor="+list.Next, "").into(http.StatusOK, &rest)
	if len(list.DeadLetters) != 3 || len(rest.DeadLetters) != 1 || rest.Next != "" {
		t.Fatalf("pages %+v and %+v", list, rest)
	}
	if l := list.DeadLetters[0]; l.WebhookID != "evt_0" || string(l.Body) != `{"type":"online"}` || l.Error != "500" || l.Attempts != 6 || l.Time == 0 {
		t.Errorf("letter %+v", l)
	}
	f.call(http.MethodGet, path+"?cursor=x", "").problem(http.StatusBadRequest, codeInvalidField, "cursor")
	second, third := list.DeadLetters[1].ID, list.DeadLetters[2].ID

	f.call(http.MethodPost, path+"/"+second+"/redeliver", "").into(http.StatusNoContent, nil)
	f.call(http.MethodPost, path+"/"+second+"/redeliver", "").problem(http.StatusNotFound, codeNotFound, "")
	f.call(http.MethodPost, path+"/x/redeliver", "").problem(http.StatusNotFound, codeNotFound, "")
	r.refuse = "evt_2"
	f.call(http.MethodPost, path+"/"+third+"/redeliver", "").problem(http.StatusBadGateway, codeNotDelivered, "")
	var all redeliveredOut
	f.call(http.MethodPost, path+"/redeliver", "").into(http.StatusOK, &all)
	if all.Delivered != 1 || !all.Left || all.Error == "" {
		t.Errorf("redelivered %+v", all)
	}
	f.call(http.MethodDelete, path+"/"+third, "").into(http.StatusNoContent, nil)
	f.call(http.MethodDelete, path+"/"+third, "").problem(http.StatusNotFound, codeNotFound, "")
	var last redeliveredOut
	f.call(http.MethodPost, path+"/redeliver", "").into(http.StatusOK, &last)
	if last.Delivered != 1 || last.Left || last.Error != "" {
		t.Errorf("redelivered %+v", last)
	}
	if got := fmt.Sprint(r.got); got != "[evt_1 evt_0 evt_3]" {
		t.Errorf("the receiver got %s", got)
	}
}

func TestWithoutAWebhookNothingIsRedelivered(t *testing.T) {
	f := start(t)
	f.call(http.MethodPost, "/v1/webhook/dead-letters/redeliver", "").problem(http.StatusConflict, codeNoWebhook, "")
	f.call(http.MethodPost, "/v1/webhook/dead-letters/1-1/redeliver", "").problem(http.StatusConflict, codeNoWebhook, "")
}
