package freeim

import (
	"context"

	"github.com/imtier/imtier/pkg/imhelper"
)

// sendChannel sends to a channel; the sender gets it too when it has joined.
func (a *api) sendChannel(ctx context.Context, f form) (map[string]any, error) {
	from, err := f.client("websocketId")
	if err != nil {
		return nil, err
	}
	group, err := f.channel()
	if err != nil {
		return nil, err
	}
	data, err := f.message()
	if err != nil {
		return nil, err
	}
	_, err = a.im.SendGroup(ctx, imhelper.GroupMessage{Group: group, From: from, Data: data})
	return nil, err
}

func (a *api) sendBroadcast(ctx context.Context, f form) (map[string]any, error) {
	from, _, err := f.clientIfGiven("websocketId")
	if err != nil {
		return nil, err
	}
	data, err := f.message()
	if err != nil {
		return nil, err
	}
	_, err = a.im.Broadcast(ctx, imhelper.BroadcastMessage{From: from, Data: data})
	return nil, err
}

// sendDirect sends to one client. The field isReceipt is accepted; the answers that FreeIM makes of it, messages of
// an own format to the sender, are not given.
func (a *api) sendDirect(ctx context.Context, f form) (map[string]any, error) {
	from, err := f.client("senderWebsocketId")
	if err != nil {
		return nil, err
	}
	to, err := f.client("receiveWebsocketId")
	if err != nil {
		return nil, err
	}
	data, err := f.message()
	if err != nil {
		return nil, err
	}
	_, err = a.im.Send(ctx, imhelper.Message{To: []string{to}, From: from, Data: data})
	return nil, err
}
