package rig

import (
	"fmt"
	"testing"

	"github.com/imtier/imtier/e2e/internal/ledger"
)

func TestHistories(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		pair string // what the first group of consumers got of the client: + online, - offline, ! a repetition of the last one
		want []string
		bad  int
	}{
		{"nothing happened", "+", OnlineOnce, 0},
		{"it came twice", "+!", OnlineOnce, 0},
		{"it went", "+-", OfflineOnce, 0},
		{"offline for a moment", "+-+", OnlineOnce, 1},
		{"online for a moment", "+-+-", OfflineOnce, 1},
		{"it never came", "", OnlineOnce, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var events []ledger.Event
			for i, c := range tt.pair {
				e := ledger.Event{Group: WatchGroups[0], Key: fmt.Sprint(i), Client: "alice", Type: "online"}
				switch c {
				case '-':
					e.Type = "offline"
				case '!':
					e = events[len(events)-1]
				}
				events = append(events, e)
			}
			for i, typ := range tt.want { // the other group got what is right
				events = append(events, ledger.Event{Group: WatchGroups[1], Key: fmt.Sprint(i), Client: "alice", Type: typ})
			}
			if bad := wrongHistories(events, map[string][]string{"alice": tt.want}); len(bad) != tt.bad {
				t.Errorf("%d wrong, want %d: %v", len(bad), tt.bad, bad)
			}
		})
	}
}
