// Command imserver holds WebSocket connections and passes on what Redis publishes for them.
package main

import (
	"context"
	"os"

	"go.uber.org/zap"

	"github.com/imtier/imtier/imserver"
	"github.com/imtier/imtier/internal/program"
)

func main() {
	var cfg imserver.Config
	os.Exit(program.Program{
		Name: "imserver", Register: cfg.Register, LogLevel: &cfg.LogLevel,
		RegisterAdmin: imserver.RegisterAdmin,
		Run: func(ctx context.Context, log *zap.Logger) error {
			srv, err := imserver.New(cfg, log)
			if err != nil {
				return err
			}
			return srv.Run(ctx)
		},
	}.Main())
}
