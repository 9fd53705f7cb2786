// Command imdev runs webapi, imserver and an embedded Redis in one process, to try imtier out.
package main

import (
	"context"
	"os"

	"go.uber.org/zap"

	"github.com/imtier/imtier/dev"
	"github.com/imtier/imtier/internal/program"
)

func main() {
	var cfg dev.Config
	os.Exit(program.Program{
		Name: "imdev", Register: cfg.Register, LogLevel: &cfg.LogLevel,
		Run: func(ctx context.Context, log *zap.Logger) error { return dev.Run(ctx, cfg, log, os.Stdout) },
	}.Main())
}
