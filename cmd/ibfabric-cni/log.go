//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containernetworking/cni/pkg/skel"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logConfig is what a network's configuration says about logs, with the names of
// sriov-cni. What is wrong with it never fails a call.
type logConfig struct {
	Network string `json:"name"`
	Level   string `json:"logLevel"` // debug, info (unless told), warning, error
	File    string `json:"logFile"`  // beside stderr; in /var/log
}

// newLogger writes JSON, one object a line, each with what the call is about.
func newLogger(root, plugin, command string, args *skel.CmdArgs) (*zap.Logger, func()) {
	var c logConfig
	_ = json.Unmarshal(args.StdinData, &c) // ADD says what is wrong with it
	config := zap.NewProductionEncoderConfig()
	config.EncodeTime = zapcore.ISO8601TimeEncoder
	config.EncodeDuration = zapcore.StringDurationEncoder
	encoder, level := zapcore.NewJSONEncoder(config), logLevel(c.Level)

	core := zapcore.NewCore(encoder, zapcore.Lock(os.Stderr), level)
	closeFile := func() {}
	file, err := openLog(root, c.File)
	if file != nil {
		core = zapcore.NewTee(core, zapcore.NewCore(encoder.Clone(), zapcore.Lock(file), level))
		closeFile = func() { _ = file.Close() }
	}
	log := zap.New(core).With(
		zap.String("plugin", plugin), zap.String("command", command), zap.String("network", c.Network),
		zap.String("pod", podOf(args.Args)), zap.String("container", args.ContainerID), zap.String("interface", args.IfName),
	)
	if err != nil {
		log.Warn("logFile is not written", zap.Error(err))
	}
	return log, closeFile
}

// logDir is the only folder that logs are written in.
const logDir = "var/log"

// openLog opens a file that a network names, and root writes. Whoever may write networks
// must not get to other files by it: not by a path, nor by a link on the way, which a pod
// can lay in a volume of its own. Nor may a pipe hold the call up.
func openLog(root, path string) (*os.File, error) {
	if path == "" {
		return nil, nil
	}
	inside, err := filepath.Rel("/"+logDir, filepath.Clean(path))
	first, _, _ := strings.Cut(inside, "/")
	// pods and containers are what kubelet shows to other tenants.
	if err != nil || !filepath.IsLocal(inside) || filepath.Ext(path) != ".log" || first == "pods" || first == "containers" {
		return nil, fmt.Errorf("%q is no path of a log; write it as /var/log/ibfabric-cni.log", path)
	}
	folder, err := os.OpenRoot(filepath.Join(root, logDir))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	if err := folder.MkdirAll(filepath.Dir(inside), 0o755); err != nil {
		return nil, err
	}
	file, err := folder.OpenFile(inside, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(fmt.Errorf("%s is no regular file", path), err, file.Close())
	}
	return file, nil
}

func logLevel(text string) zapcore.Level {
	switch text {
	case "debug":
		return zap.DebugLevel
	case "warning", "warn":
		return zap.WarnLevel
	case "error", "panic":
		return zap.ErrorLevel
	}
	return zap.InfoLevel
}

// podOf names the pod out of CNI_ARGS, as Multus fills them.
func podOf(args string) string {
	var namespace, name string
	for part := range strings.SplitSeq(args, ";") {
		switch key, value, _ := strings.Cut(part, "="); key {
		case "K8S_POD_NAMESPACE":
			namespace = value
		case "K8S_POD_NAME":
			name = value
		}
	}
	if name == "" {
		return ""
	}
	return namespace + "/" + name
}
