package main

import (
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/ibfabric/ibfabric/ufm/ufmsim"
	"github.com/ibfabric/ibfabric/ufm/ufmsim/opensm"
)

// opensmFlags say which OpenSM is driven; without partitions none is.
type opensmFlags struct {
	partitions, pidFile, command, log string
	timeout                           time.Duration
}

func (o *opensmFlags) add(fs *flag.FlagSet) {
	fs.StringVar(&o.partitions, "opensm-partitions", "", "drive OpenSM: its partition_config_file, a `file` that then belongs to ufm-sim")
	fs.StringVar(&o.pidFile, "opensm-pid-file", "", "`file` with OpenSM's process id, to signal it")
	fs.StringVar(&o.command, "opensm-command", "", "`command` that signals OpenSM, as in \"systemctl kill -s HUP opensm@0x…\"")
	fs.StringVar(&o.log, "opensm-log", "/var/log/opensm.log", "OpenSM's log_file, a `file` that tells when it has swept")
	fs.DurationVar(&o.timeout, "opensm-timeout", opensm.DefaultTimeout, "how long a sweep may take before it is asked for again")
}

// check refuses what would drive no OpenSM, or a real fabric as if it were a toy.
func (o *opensmFlags) check(c *ufmsim.Config) error {
	switch {
	case o.partitions == "" && (o.pidFile != "" || o.command != ""):
		return errors.New("--opensm-pid-file, --opensm-command: need --opensm-partitions")
	case o.partitions == "":
		return nil
	case (o.pidFile == "") == (o.command == ""):
		return errors.New("--opensm-partitions: say how OpenSM is signalled, by --opensm-pid-file or by --opensm-command")
	case o.timeout <= 0:
		return fmt.Errorf("--opensm-timeout %s: must be above 0", o.timeout)
	case c.StateFile != "":
		return errors.New("--state: leave it out, the partitions are kept in the file of --opensm-partitions")
	case c.Timing.Apply != 0:
		return errors.New("--apply-delay: leave it out, a change is applied when OpenSM has swept")
	case c.Password == "":
		return errors.New("--opensm-partitions: a real fabric needs a password that is not everybody's; set UFM_PASSWORD")
	case c.Control && c.ControlToken == "":
		return errors.New("--control: with --opensm-partitions it needs a --control-token, or everybody could wipe the fabric")
	}
	return nil
}

// connect puts OpenSM behind the Sim that is about to be made. release is for its end.
func (o *opensmFlags) connect(c *ufmsim.Config) (release func(), err error) {
	if o.partitions == "" {
		return func() {}, nil
	}
	signal := opensm.PIDFile(o.pidFile)
	if o.command != "" {
		if signal, err = opensm.Command(o.command); err != nil {
			return nil, fmt.Errorf("--opensm-command: %w", err)
		}
	}
	m, err := opensm.New(opensm.Config{Partitions: o.partitions, Log: o.log, Signal: signal, Timeout: o.timeout})
	if err != nil {
		return nil, fmt.Errorf("--opensm-partitions: %w", err)
	}
	c.SubnetManager = m
	return func() { _ = m.Close() }, nil // the process ends, and the lock with it
}
