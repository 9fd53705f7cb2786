// Command imserver holds WebSocket connections and passes on what Redis publishes for them.
package main

import (
	"context"
	"os"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver"
	"github.com/imtier/imtier/internal/program"
)

// gcPercent is the heap's growth between collections unless GOGC says otherwise. The heap is idle connections, of
// which half is kept free for garbage at most; messages make little of it.
const gcPercent = 50

func main() {
	var cfg imserver.Config
	os.Exit(program.Program{
		Name: "imserver", Register: cfg.Register, LogLevel: &cfg.LogLevel,
		RegisterAdmin: imserver.RegisterAdmin, GCPercent: gcPercent,
		Run: func(ctx context.Context, log *zap.Logger) error {
			srv, err := imserver.New(cfg, log)
			if err != nil {
				return err
			}
			return srv.Run(ctx)
		},
	}.Main())
}
