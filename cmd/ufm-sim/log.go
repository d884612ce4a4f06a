package main

import (
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ibfabric/ibfabric/ufm/ufmsim"
)

// newLogger logs to w, one line a change. Nothing is sampled: the log is the record.
func newLogger(format string, w io.Writer) *zap.Logger {
	cfg := zap.NewProductionEncoderConfig()
	cfg.EncodeTime = zapcore.ISO8601TimeEncoder
	encoder := zapcore.NewJSONEncoder(cfg)
	if format == "console" {
		cfg.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(cfg)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), zap.InfoLevel))
}

// logChanges logs every entry of the journal once: with an apply delay it comes again
// when the fabric has it.
func logChanges(log *zap.Logger, changes <-chan ufmsim.Entry) {
	var last uint64
	for e := range changes {
		if e.Seq <= last {
			continue
		}
		last = e.Seq
		// A warning is a change that somebody asked for and that did not happen.
		level := zap.InfoLevel
		if e.Changed.IsZero() && e.Op != ufmsim.OpRestart {
			level = zap.WarnLevel
		}
		fields := []zap.Field{zap.String("op", string(e.Op))}
		if e.PKey != 0 {
			fields = append(fields, zap.Stringer("pkey", e.PKey), zap.Int("guids", len(e.Members)))
		}
		fields = append(fields, zap.String("outcome", e.Outcome))
		if e.Remote != "" {
			fields = append(fields, zap.String("user", e.User), zap.String("from", e.Remote))
		}
		log.Log(level, "change", fields...)
	}
}
