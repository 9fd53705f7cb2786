package store

import (
	"context"
	_ "embed"
	"slices"
	"strconv"
	"time"
)

//go:embed lua/disconnect.lua
var disconnectLua string

var disconnectScript = newRoamingScript("disconnect", preludeLua+disconnectLua)

// sessionTTL is how long after a connection ended its session can be resumed.
const sessionTTL = 2 * time.Minute

// ConnRef names a connection and its client.
type ConnRef struct {
	ClientID string
	ConnID   string
	Final    bool // its session cannot be resumed: it was told to stay away, or never had one
	Unsure   bool // what registers it, for the first time or again, may still be on its way to Redis
}

// Disconnect takes connections off the register after they ended. A client whose last one this was goes offline
// when the grace is over, unless it comes back. Connections that are not registered, for instance because another
// device replaced them, are skipped: repeating it does no harm. One that is Unsure cannot be registered any more, within an
// hour, when this has returned nil. node is named in the error only.
func (s *Store) Disconnect(ctx context.Context, node string, gone []ConnRef) error {
	var calls []call
	grace := strconv.FormatInt(s.opts.OfflineGrace.Milliseconds(), 10)
	for p, places := range byPartition(s, gone, func(c ConnRef) string { return c.ClientID }) {
		for chunk := range slices.Chunk(places, scriptBatch) {
			args := []string{grace, s.keys.connsPrefix(p), s.keys.nodeConnsPrefix(p), s.keys.resumePrefix(p), seconds(sessionTTL), s.keys.endedPrefix(p), seconds(endedFor)}
			for _, i := range chunk {
				how := 0
				if !gone[i].Final {
					how++
				}
				if gone[i].Unsure {
					how += 2
				}
				args = append(args, gone[i].ClientID, gone[i].ConnID, strconv.Itoa(how))
			}
			calls = append(calls, call{[]string{s.keys.leaving(p), s.keys.last(p)}, args})
		}
	}
	_, err := s.runChunks(ctx, disconnectScript, calls, "disconnect from "+node)
	return err
}
