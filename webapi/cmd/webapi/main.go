// Command webapi is the HTTP face of an imtier installation.
package main

import (
	"context"
	"os"

	"go.uber.org/zap"

	"github.com/imtier/imtier/internal/program"
	"github.com/imtier/imtier/webapi"
)

// gcPercent is the heap's growth between collections unless GOGC says otherwise. What lives is a few megabytes, and
// each request makes garbage: collecting four times less often costs little memory.
const gcPercent = 400

func main() {
	var cfg webapi.Config
	os.Exit(program.Program{
		Name: "webapi", Register: cfg.Register, LogLevel: &cfg.LogLevel,
		RegisterAdmin: webapi.RegisterAdmin, GCPercent: gcPercent,
		Run: func(ctx context.Context, log *zap.Logger) error {
			srv, err := webapi.New(cfg, log)
			if err != nil {
				return err
			}
			return srv.Run(ctx)
		},
	}.Main())
}
