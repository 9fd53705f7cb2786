package fault

import (
	"math/rand/v2"

	"github.com/imtier/imtier/e2e/internal/proc"
	"github.com/imtier/imtier/e2e/internal/rig"
)

func killNode(l *rig.Load, s Step) {
	p := l.Nodes[s.Node].Program
	p.Kill()
	wait(s.Length)
	start(l, p)
}

func stopNode(l *rig.Load, s Step) {
	p := l.Nodes[s.Node].Program
	if code, _, err := p.Stop(l.T.Context()); err != nil || code != 0 {
		l.T.Errorf("%s did not stop in order: exit code %d, %v", p.Name, code, err)
	}
	wait(s.Length)
	start(l, p)
}

// freezeNode stops a node as a whole. For more than 15 seconds is longer than its lease.
func freezeNode(l *rig.Load, s Step) {
	l.Nodes[s.Node].Pause()
	wait(s.Length)
	l.Nodes[s.Node].Resume()
}

// killWebAPI kills webapi, most likely in the middle of a send.
func killWebAPI(l *rig.Load, s Step) {
	l.WebAPI.Kill()
	wait(s.Length)
	start(l, l.WebAPI)
}

func start(l *rig.Load, p *proc.Program) {
	if err := p.Start(); err != nil {
		l.T.Error(err)
	}
}

// cutClients breaks the connections of a third of the clients.
func cutClients(l *rig.Load, s Step) {
	rng := rand.New(rand.NewPCG(s.Dice, 0))
	for _, c := range l.Clients {
		if rng.IntN(3) == 0 {
			c.Cut()
		}
	}
	wait(s.Length)
}

// stallClients makes a quarter of the clients read nothing for a while.
func stallClients(l *rig.Load, s Step) {
	rng := rand.New(rand.NewPCG(s.Dice, 0))
	for _, c := range l.Clients {
		if rng.IntN(4) == 0 {
			defer c.Stall()()
		}
	}
	wait(s.Length)
}
