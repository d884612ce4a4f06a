package opensm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// What OpenSM writes into its log.
const (
	sweepBegins = "INITIATING HEAVY SWEEP" // with log_flags 0x07, or osm_state_mgr.c 0x07
	sweepEnds   = "-> SUBNET UP"
	fileRefused = "Partition configuration in error"
)

// lookAgain is how often a growing log is looked at.
const lookAgain = 20 * time.Millisecond

// errOpen is the worst that can be: it must not look like a delay.
var errOpen = errors.New("OpenSM COULD NOT READ the partitions and has made every port a full member of the default partition: " +
	"tenants are NOT isolated; see PARSE ERROR in its log, move the file away and start ufm-sim anew")

// sweep signals OpenSM and returns when a sweep has ended that began after the file was
// in place. OpenSM sweeps for reasons of its own too, and one that was under way when the
// signal came may have read the former file. Where the log tells of beginnings, the first
// whole sweep is it; where not, the second that ends, and it is asked for.
func sweep(ctx context.Context, log *logFile, signal Signal) error {
	if err := signal(ctx); err != nil {
		return err
	}
	began, ended := false, 0
	for {
		lines, err := log.more()
		if err != nil {
			return fmt.Errorf("OpenSM's log: %w", err)
		}
		for _, line := range lines {
			switch {
			case strings.Contains(line, fileRefused):
				return errOpen
			case strings.Contains(line, sweepBegins):
				began = true
			case !strings.HasSuffix(line, sweepEnds):
			case began || ended > 0:
				return nil
			default:
				ended++
				if err := signal(ctx); err != nil {
					return err
				}
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookAgain):
		}
	}
}
