package store

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
	"github.com/imtier/imtier/pkg/store/redistest"
)

// benchMessage has the size of a usual chat message: 150 bytes of data.
func benchMessage() *protocol.Envelope {
	return &protocol.Envelope{ID: protocol.NewID(), From: "sender", Time: 1, Data: make([]byte, 150)}
}

// BenchmarkPublishInbox sends to one receiver at a time from many goroutines.
func BenchmarkPublishInbox(b *testing.B) {
	for _, senders := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			s := open(b, Options{URL: redistest.Start(b).URL(), Partitions: 256})
			send(b, s, "warm", "up")
			to := names("client", 1000)
			var next atomic.Int64
			b.SetParallelism((senders + 1) / 2) // times GOMAXPROCS
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				e := benchMessage()
				for pb.Next() {
					i := next.Add(1)
					if _, err := s.PublishInbox(context.Background(), e, to[i%1000:i%1000+1], false); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

// BenchmarkPublishThousand sends one message to 1000 receivers.
func BenchmarkPublishThousand(b *testing.B) {
	s := open(b, Options{URL: redistest.Start(b).URL(), Partitions: 256})
	to := names("client", 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.PublishInbox(context.Background(), benchMessage(), to, false); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkPublishBatch sends 1000 messages to a receiver each.
func BenchmarkPublishBatch(b *testing.B) {
	s := open(b, Options{URL: redistest.Start(b).URL(), Partitions: 256})
	pubs := make([]Publication, 1000)
	for i := range pubs {
		pubs[i] = Publication{Envelope: benchMessage(), Kind: protocol.Inbox, To: []string{fmt.Sprint("client", i)}}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range s.PublishMany(context.Background(), pubs) {
			if r.Err != nil {
				b.Fatal(r.Err)
			}
		}
	}
	b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkTails asks where 10,000 streams end.
func BenchmarkTails(b *testing.B) {
	s := open(b, Options{URL: redistest.Start(b).URL(), Partitions: 256})
	streams := inboxes(10_000)
	for b.Loop() {
		if _, err := s.Tails(context.Background(), streams); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnect lets clients in, 64 at a time, and tells what Redis spends on each.
func BenchmarkConnect(b *testing.B) {
	for _, groups := range []int{0, 3} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			s := open(b, Options{URL: redistest.Start(b).URL(), Partitions: 256})
			rooms := names("room-", groups)
			var next atomic.Int64
			b.SetParallelism(32)
			b.ReportAllocs()
			spent := usedByRedis(b, s)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					se := session(s, fmt.Sprint("client-", next.Add(1)))
					se.Rate, se.Groups = 10, rooms
					if _, err := s.Connect(context.Background(), se); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64((usedByRedis(b, s)-spent).Nanoseconds())/1e3/float64(b.N), "redis-µs/op")
		})
	}
}

// usedByRedis is the processor time that Redis has used.
func usedByRedis(b *testing.B, s *Store) time.Duration {
	b.Helper()
	info, err := s.do(context.Background(), s.client.B().Info().Section("cpu").Build()).ToString()
	if err != nil {
		b.Fatal(err)
	}
	var sum float64
	for _, field := range []string{"used_cpu_sys", "used_cpu_user"} {
		f, err := strconv.ParseFloat(infoField(info, field), 64)
		if err != nil {
			b.Fatal(err)
		}
		sum += f
	}
	return time.Duration(sum * float64(time.Second))
}
