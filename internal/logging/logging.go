package logging

import (
	"fmt"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// New returns a logger that writes lines of at least level (debug, info, warn,
// error) to out, normally os.Stderr. The caller calls Sync before it exits.
func New(out *os.File, level string) (*zap.Logger, error) {
	least, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	encoder := jsonEncoder()
	if term.IsTerminal(int(out.Fd())) {
		encoder = consoleEncoder()
	}
	return build(encoder, zapcore.Lock(out), least), nil
}

func build(encoder zapcore.Encoder, out zapcore.WriteSyncer, least zapcore.Level) *zap.Logger {
	core := zapcore.NewCore(encoder, out, least)
	// zap's own failures (a full disk) go to the same place; no stack traces
	// below panics, the wrapped error says where it was.
	return zap.New(core, zap.ErrorOutput(out), zap.AddStacktrace(zapcore.DPanicLevel))
}

// jsonEncoder writes one object a line with the fields time, level, msg.
func jsonEncoder() zapcore.Encoder {
	c := zap.NewProductionEncoderConfig()
	c.TimeKey = "time"
	c.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	c.EncodeDuration = zapcore.StringDurationEncoder
	return zapcore.NewJSONEncoder(c)
}

// consoleEncoder writes a time of day, a coloured level, the message and the
// fields.
func consoleEncoder() zapcore.Encoder {
	c := zap.NewDevelopmentEncoderConfig()
	c.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	c.EncodeLevel = zapcore.CapitalColorLevelEncoder
	c.EncodeDuration = zapcore.StringDurationEncoder
	c.ConsoleSeparator = "  "
	return zapcore.NewConsoleEncoder(c)
}
