package fault

import (
	"time"

	"github.com/imtier/imtier/e2e/internal/proxy"
	"github.com/imtier/imtier/e2e/internal/rig"
)

// SlowDelay is what each packet to or from Redis takes in a slow network.
const SlowDelay = 50 * time.Millisecond

func cutOffSilently(l *rig.Load, s Step) { cutOff(l, s, proxy.Drop) }

func cutOffWithResets(l *rig.Load, s Step) { cutOff(l, s, proxy.Reset) }

func cutOff(l *rig.Load, s Step, m proxy.Mode) {
	l.Nodes[s.Node].Proxy.Set(m)
	wait(s.Length)
	l.Nodes[s.Node].Proxy.Set(proxy.Pass)
}

func slowNetwork(l *rig.Load, s Step) {
	l.Nodes[s.Node].Proxy.Delay(SlowDelay)
	wait(s.Length)
	l.Nodes[s.Node].Proxy.Delay(0)
}

// cutOffWebAPI makes the way from webapi to Redis silent. What was on its way is carried out late, when those who sent it
// have been told that it failed, and have sent it again.
func cutOffWebAPI(l *rig.Load, s Step) {
	l.Proxy.Set(proxy.Drop)
	wait(s.Length)
	l.Proxy.Set(proxy.Pass)
}
