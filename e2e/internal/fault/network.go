package fault

import (
	"time"

	"github.com/imtier/imtier/e2e/internal/proxy"
	"github.com/imtier/imtier/e2e/internal/rig"
)

// slowDelay is what each packet to or from Redis takes in a slow network.
const slowDelay = 50 * time.Millisecond

func cutOffSilently(l *rig.Load, s Step) { cutOff(l, s, proxy.Drop) }

func cutOffWithResets(l *rig.Load, s Step) { cutOff(l, s, proxy.Reset) }

func cutOff(l *rig.Load, s Step, m proxy.Mode) {
	l.Nodes[s.Node].Proxy.Set(m)
	wait(s.Length)
	l.Nodes[s.Node].Proxy.Set(proxy.Pass)
}

func slowNetwork(l *rig.Load, s Step) {
	l.Nodes[s.Node].Proxy.Delay(slowDelay)
	wait(s.Length)
	l.Nodes[s.Node].Proxy.Delay(0)
}
