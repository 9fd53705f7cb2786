package scenario

import (
	"context"
	"fmt"
	"slices"

	"github.com/imtier/imtier/bench/internal/clients"
	"github.com/imtier/imtier/bench/internal/report"
)

// lostOrMore is the name of the goal that every client has exactly what was sent to it.
const lostOrMore = "messages lost or too many"

// counted returns how many messages each client has got, the fleets one after the other, when there was time for one too
// many to arrive.
func counted(ctx context.Context, crowd clients.Crowd) ([]int64, error) {
	if err := pause(ctx, settleTime); err != nil {
		return nil, err
	}
	s, err := crowd.Stats()
	switch {
	case err != nil:
		return nil, err
	case s.Failure != "":
		return nil, fmt.Errorf("a client failed: %s", s.Failure)
	}
	return crowd.Counts()
}

// checkCounts adds how many messages clients have got more or less than they had to.
func checkCounts(res *report.Result, measure string, got, want []int64) {
	res.Check(measure, float64(off(got, want)), "", report.AtMost(0), "of "+report.Number(float64(sum(want))))
}

// off adds up, client by client, how far they are from what they had to get: one that lacks a message and one that has
// it twice do not make up for each other.
func off(got, want []int64) (n int64) {
	at := func(of []int64, i int) int64 {
		if i < len(of) {
			return of[i]
		}
		return 0
	}
	for i := range max(len(got), len(want)) {
		d := at(got, i) - at(want, i)
		n += max(d, -d)
	}
	return n
}

// checkOnline adds how far Redis is from having everybody online who is connected, and nobody else.
func checkOnline(res *report.Result, when string, connected, online int) {
	d := connected - online
	res.Check("clients connected and not online in Redis"+when, float64(max(d, -d)), "", report.AtMost(0), "or more of them online than connected")
}

// alike is what so many clients have to get that are all sent the same.
func alike(clients int, messages int64) []int64 { return slices.Repeat([]int64{messages}, clients) }

// inTurn adds messages that went to the first so many clients in turn, from the first one on.
func inTurn(want []int64, clients int, messages int64) {
	for i := range int64(clients) {
		want[i] += messages / int64(clients)
		if i < messages%int64(clients) {
			want[i]++
		}
	}
}
