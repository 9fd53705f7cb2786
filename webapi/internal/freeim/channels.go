package freeim

import "context"

const (
	groupsPage = 1000 // groups asked for at once
	// maxChannels bounds one answer: the page makes a button of each.
	maxChannels = 1000
)

type channel struct {
	Chan   string `json:"chan"`
	Online int    `json:"online"`
}

// channels lists the groups that have members, with how many of those are online.
func (a *api) channels(ctx context.Context, _ form) (map[string]any, error) {
	list := []channel{}
	for cursor := ""; ; {
		groups, next, err := a.im.Groups(ctx, cursor, groupsPage)
		if err != nil {
			return nil, err
		}
		for _, g := range groups {
			list = append(list, channel{Chan: g.Group, Online: g.Online})
		}
		if next == "" || len(list) >= maxChannels {
			return map[string]any{"channels": list[:min(len(list), maxChannels)]}, nil
		}
		cursor = next
	}
}

// subscribe joins a channel until the client is offline, which is how long FreeIM's memberships last.
func (a *api) subscribe(ctx context.Context, f form) (map[string]any, error) {
	id, err := f.client("websocketId")
	if err != nil {
		return nil, err
	}
	group, err := f.channel()
	if err != nil {
		return nil, err
	}
	_, err = a.im.JoinUntilOffline(ctx, id, group)
	return nil, err
}
