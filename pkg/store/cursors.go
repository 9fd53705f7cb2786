package store

import (
	"context"
	_ "embed"
	"strconv"
	"time"

	"github.com/imtier/imtier/pkg/protocol"
)

//go:embed lua/cursors.lua
var cursorsLua string

var cursorsScript = newScript("cursors", cursorsLua)

// rememberFor is how long a client's cursors, and when it was seen last, outlive their last change.
const rememberFor = 30 * 24 * time.Hour

// SaveCursors stores how far a device acknowledged streams, by their wire names ("inbox", "group:<g>", "all").
// Positions only rise: an older one is ignored.
func (s *Store) SaveCursors(ctx context.Context, clientID, device string, pos map[string]protocol.Position) error {
	if len(pos) == 0 {
		return nil
	}
	args := []string{seconds(rememberFor)}
	for stream, at := range pos {
		args = append(args, device+"\n"+stream, at.String())
	}
	err := s.run(ctx, cursorsScript, []string{s.keys.cursor(clientID)}, args).Error()
	return wrap("save cursors of "+clientID, err)
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
