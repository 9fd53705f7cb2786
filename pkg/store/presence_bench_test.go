package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/store/redistest"
)

// manyOnline registers n clients as online, without connections: as fast as Redis takes them.
func manyOnline(b *testing.B, s *Store, n int) {
	b.Helper()
	byPart := make([][]string, s.Partitions())
	for i := range n {
		id := fmt.Sprint("client", i)
		p := s.Partition(id)
		byPart[p] = append(byPart[p], id)
	}
	for p, ids := range byPart {
		for at := 0; at < len(ids); at += 1000 {
			add := s.client.B().Zadd().Key(s.keys.online(p)).ScoreMember()
			for _, id := range ids[at:min(at+1000, len(ids))] {
				add = add.ScoreMember(0, id)
			}
			must(b, s.do(ctxb, add.Build()).Error())
		}
	}
}

// BenchmarkOnlineOfThousand asks whether 1000 of a million online clients are online, and the like of as many that are not.
func BenchmarkOnlineOfThousand(b *testing.B) {
	s := open(b, Options{URL: redistest.Start(b).URL(), Partitions: 256})
	manyOnline(b, s, 1_000_000)
	ids := names("client", 1000)
	for i := range ids {
		ids[i] = fmt.Sprint("client", i*1999) // every second one is beyond the million
	}
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		online, err := s.Online(ctxb, ids)
		if err != nil || len(online) != len(ids) {
			b.Fatal(len(online), err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

// BenchmarkListMillion walks through a million online clients in pages, and shows what else Redis can do meanwhile: the
// longest answer to a PING.
func BenchmarkListMillion(b *testing.B) {
	s := open(b, Options{URL: redistest.Start(b).URL(), Partitions: 256})
	const clients = 1_000_000
	manyOnline(b, s, clients)
	stop, done := make(chan struct{}), make(chan time.Duration)
	go func() {
		var worst time.Duration
		for {
			select {
			case <-stop:
				done <- worst
				return
			default:
			}
			begin := time.Now()
			if s.Ping(ctxb) == nil {
				worst = max(worst, time.Since(begin))
			}
		}
	}()
	pages, slowest := 0, time.Duration(0)
	for b.Loop() {
		seen := 0
		for cursor := ""; ; {
			begin := time.Now()
			ids, next, err := s.OnlineClients(ctxb, cursor, 1000)
			must(b, err)
			slowest = max(slowest, time.Since(begin))
			pages++
			seen += len(ids)
			if cursor = next; next == "" {
				break
			}
		}
		if seen != clients {
			b.Fatalf("%d clients are listed", seen)
		}
	}
	close(stop)
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(pages), "page-ms")
	b.ReportMetric(float64(slowest.Microseconds())/1000, "slowest-page-ms")
	b.ReportMetric(float64((<-done).Microseconds())/1000, "worst-ping-ms")
}
