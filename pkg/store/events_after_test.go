package store

import (
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/store/redistest"
)

// Who comes back to many events of one client reads them page by page, without waiting for something new.
func TestManyEventsOfOnePartitionAreToldToBeMore(t *testing.T) {
	s := open(t, Options{URL: redistest.Start(t).URL()})
	from, err := s.EventsNow(ctxb)
	must(t, err)
	groups := names("g", 200)
	_, err = s.JoinGroups(ctxb, "anna", groups, JoinOptions{})
	must(t, err)
	<-time.After(10 * time.Millisecond) // of this millisecond there may be more to come
	for _, partition := range []int{EventsOfAll, s.Partition("anna")} {
		var got []string
		pos, more := from, true
		for pages := 0; more && pages < len(groups); pages++ {
			page, err := s.EventsAfter(ctxb, pos, partition)
			must(t, err)
			for _, e := range page.Events {
				got = append(got, e.Group)
			}
			pos, more = page.Next, page.More
		}
		slices.Sort(got)
		wantEqual(t, "groups joined", got, slices.Sorted(slices.Values(groups)))
		if more {
			t.Error("more is told of, without end")
		}
	}
}
