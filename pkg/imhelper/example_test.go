package imhelper_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"slices"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/imtier/imtier/pkg/imhelper"
	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store"
)

// installation stands in for a running one: an embedded Redis, and an imserver that is only registered. A program
// of yours calls imhelper.New with RedisURL and SigningKeys instead.
func installation() (h *imhelper.Helper, stop func()) {
	ctx := context.Background()
	redis, err := miniredis.Run()
	must(err)
	redis.ClockTTL(true)
	st, err := store.Open(ctx, store.Options{URL: "redis://" + redis.Addr(), Partitions: 4, Embedded: true})
	must(err)
	_, err = st.RenewNode(ctx, store.Node{ID: "node-1", URL: "wss://node-1.example.com/ws", Started: time.Now()})
	must(err)
	h, err = imhelper.New(ctx, imhelper.Options{Store: st, SigningKeys: "k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="})
	must(err)
	return h, func() { h.Close(); st.Close(); redis.Close() }
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func ExampleHelper_PreConnect() {
	h, stop := installation()
	defer stop()

	c, err := h.PreConnect(context.Background(), imhelper.ConnectRequest{
		ClientID: "alice", Device: "web", Groups: []string{"lobby"}, UntilOffline: true,
	})
	must(err)
	url, _, _ := strings.Cut(c.URL, "?token=") // the rest is secret: hand it to alice's page, and log it nowhere
	fmt.Println(url)
	// Output: wss://node-1.example.com/ws
}

func ExampleHelper_Send() {
	h, stop := installation()
	defer stop()

	r, err := h.Send(context.Background(), imhelper.Message{
		To: []string{"alice", "bob"}, From: "carl", Data: json.RawMessage(`{"text":"hello"}`), ID: "order-17",
	})
	must(err)
	for _, d := range r.Results {
		fmt.Println(d.ClientID, d.Online, d.Pos.Seq)
	}
	// Output:
	// alice false 1
	// bob false 1
}

// A send with an ID of the caller's may be repeated when it is not known whether it took place.
func ExampleHelper_Send_retry() {
	h, stop := installation()
	defer stop()

	m := imhelper.Message{To: []string{"alice"}, Data: json.RawMessage(`"hello"`), ID: "order-17"}
	for range 2 {
		r, err := h.Send(context.Background(), m)
		if errors.Is(err, imhelper.ErrUnavailable) {
			continue
		}
		must(err)
		fmt.Println(r.Results[0].Pos.Seq, r.Duplicate)
	}
	// Output:
	// 1 false
	// 1 true
}

func ExampleHelper_SendGroup() {
	h, stop := installation()
	defer stop()
	ctx := context.Background()

	added, err := h.JoinGroup(ctx, "room-1", "alice", "bob")
	must(err)
	r, err := h.SendGroup(ctx, imhelper.GroupMessage{
		Group: "room-1", From: "alice", Data: json.RawMessage(`"hi all"`), ExceptSender: true,
	})
	must(err)
	fmt.Println(added, r.Pos.Seq)
	// Output: 2 1
}

func ExampleHelper_Broadcast() {
	h, stop := installation()
	defer stop()

	r, err := h.Broadcast(context.Background(), imhelper.BroadcastMessage{Data: json.RawMessage(`"maintenance at 5"`)})
	must(err)
	fmt.Println(r.Pos.Seq)
	// Output: 1
}

func ExampleHelper_Batch() {
	h, stop := installation()
	defer stop()

	results, err := h.Batch(context.Background(), []imhelper.BatchItem{
		{Direct: &imhelper.Message{To: []string{"alice"}, Data: json.RawMessage(`1`)}},
		{Group: &imhelper.GroupMessage{Group: "room-1", Data: json.RawMessage(`2`)}},
		{Direct: &imhelper.Message{Data: json.RawMessage(`3`)}},
	})
	must(err)
	fmt.Println(results[0].Err, results[1].Err, results[2].Err)
	// Output: <nil> <nil> to is empty
}

func ExampleHelper_Join() {
	h, stop := installation()
	defer stop()
	ctx := context.Background()

	_, err := h.Join(ctx, "alice", "room-1", "room-2")
	must(err)
	_, err = h.Leave(ctx, "alice", "room-1")
	must(err)
	groups, err := h.GroupsOf(ctx, "alice")
	must(err)
	fmt.Println(groups)
	// Output: [room-2]
}

func ExampleHelper_GroupMembers() {
	h, stop := installation()
	defer stop()
	ctx := context.Background()

	_, err := h.JoinGroup(ctx, "room-1", "alice", "bob", "carl")
	must(err)
	for cursor := ""; ; {
		members, next, err := h.GroupMembers(ctx, "room-1", cursor, 2)
		must(err)
		fmt.Println(members)
		if next == "" {
			break
		}
		cursor = next
	}
	// Output:
	// [{alice false} {bob false}]
	// [{carl false}]
}

func ExampleHelper_Online() {
	h, stop := installation()
	defer stop()

	online, err := h.Online(context.Background(), "alice", "bob")
	must(err)
	fmt.Println(online)
	// Output: map[alice:false bob:false]
}

func ExampleHelper_History() {
	h, stop := installation()
	defer stop()
	ctx := context.Background()

	for _, text := range []string{`"one"`, `"two"`, `"three"`} {
		_, err := h.SendGroup(ctx, imhelper.GroupMessage{Group: "room-1", Data: json.RawMessage(text)})
		must(err)
	}
	page, err := h.History(ctx, protocol.GroupOf("room-1"), imhelper.HistoryQuery{Limit: 2})
	must(err)
	for _, m := range slices.Backward(page.Messages) { // the newest come first
		fmt.Println(string(m.Data))
	}
	// Output:
	// "two"
	// "three"
}

func ExampleFieldError() {
	h, stop := installation()
	defer stop()

	_, err := h.Send(context.Background(), imhelper.Message{To: []string{"alice", ""}, Data: json.RawMessage(`1`)})
	var f *imhelper.FieldError
	if errors.As(err, &f) {
		fmt.Println(f.Field, "|", f.Problem, "|", errors.Is(err, imhelper.ErrInvalid))
	}
	// Output: to[1] | is empty | true
}

// Every instance of a backend runs this; each event reaches one of them.
func ExampleHelper_Events() {
	var h *imhelper.Helper // from imhelper.New
	run := func(ctx context.Context) error {
		return h.Events(ctx, "billing", func(ctx context.Context, e imhelper.Event) error {
			switch e.Type {
			case "online":
				log.Printf("%s came online", e.ClientID)
			case "offline":
				log.Printf("%s went offline", e.ClientID)
			}
			return nil // an error would bring the event again
		})
	}
	_ = run
}

// Clients ask over their sockets, {"type":"request","id":"r1","data":{"room":"tea"}}, and get what is returned.
func ExampleHelper_Handle() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	h, err := imhelper.New(ctx, imhelper.Options{RedisURL: "redis://127.0.0.1:6379"})
	must(err)
	defer h.Close()

	err = h.Handle(ctx, "rooms", func(ctx context.Context, r imhelper.Request) (any, error) {
		var ask struct{ Room string }
		if json.Unmarshal(r.Data, &ask) != nil || ask.Room == "" {
			return nil, imhelper.Refuse("bad_room", "name a room")
		}
		n, err := h.GroupOnline(ctx, ask.Room)
		return map[string]int{"online": n}, err
	})
	log.Print(err) // until ctx ends
}
