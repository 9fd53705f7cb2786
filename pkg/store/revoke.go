package store

import (
	"context"
	"time"

	"github.com/redis/rueidis"

	"github.com/imtier/imtier/pkg/protocol"
)

// Revoke refuses connections for a time and closes those that are open: with a jti, whatever goes back to that connect URL;
// without, everything of the client. With a jti the clientID may be empty: then the order goes to every partition. A life
// of 0 lifts the revocation; nothing is closed then. When it returns nil, no connection is let in any more.
func (s *Store) Revoke(ctx context.Context, clientID, jti string, life time.Duration) error {
	var partitions []int
	if clientID != "" {
		partitions = []int{s.keys.partition(clientID)}
	} else {
		partitions = s.allPartitions()
	}
	cmds := make([]rueidis.Completed, len(partitions))
	for i, p := range partitions {
		key := s.keys.revokedURL(p, jti)
		if jti == "" {
			key = s.keys.revokedClient(clientID)
		}
		if life > 0 {
			cmds[i] = s.client.B().Set().Key(key).Value("1").Px(life).Build()
		} else {
			cmds[i] = s.client.B().Del().Key(key).Build()
		}
	}
	for _, r := range s.doMulti(ctx, cmds...) {
		if err := r.Error(); err != nil {
			return wrap("revoke", err)
		}
	}
	switch {
	case life <= 0:
		return nil
	case jti == "":
		_, err := s.Kick(ctx, clientID, "", "", protocol.ReasonRevoked.Code())
		return err
	}
	// Only the nodes know which connections go back to a URL. One that cannot hear it now compares later.
	channel := s.keys.allChannel()
	if clientID != "" {
		channel = s.keys.clientChannel(partitions[0])
	}
	push := (&protocol.Push{Kind: protocol.PushRevoke, JTI: jti}).Encode()
	return wrap("revoke", s.do(ctx, s.announce(channel, rueidis.BinaryString(push))).Error())
}
