package record

import (
	"fmt"
	"io"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// NewLogger makes the logger of the Recorder, and one for the libraries below, which
// speak up from warnings on, or from debug on when the level is debug.
// format is json (for programs, and the contract) or console (for eyes).
func NewLogger(w io.Writer, format, level string) (events, libraries *zap.Logger, err error) {
	lvl, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, nil, fmt.Errorf("log level %q: use debug, info, warn or error", level)
	}
	build := func(messageKey string, min zapcore.Level) (*zap.Logger, error) {
		cfg := zapcore.EncoderConfig{
			TimeKey: "time", LevelKey: "level", MessageKey: messageKey,
			EncodeTime: zapcore.ISO8601TimeEncoder, EncodeLevel: zapcore.LowercaseLevelEncoder,
			EncodeDuration: zapcore.StringDurationEncoder,
		}
		var enc zapcore.Encoder
		switch format {
		case "json":
			enc = zapcore.NewJSONEncoder(cfg)
		case "console":
			enc = zapcore.NewConsoleEncoder(cfg)
		default:
			return nil, fmt.Errorf("log format %q: use json or console", format)
		}
		return zap.New(zapcore.NewCore(enc, zapcore.Lock(zapcore.AddSync(w)), min)), nil
	}
	if events, err = build("event", lvl); err != nil {
		return nil, nil, err
	}
	quiet := zapcore.WarnLevel
	if lvl == zapcore.DebugLevel {
		quiet = lvl
	}
	libraries, err = build("msg", max(quiet, lvl))
	return events, libraries, err
}
