package plugin

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containernetworking/cni/pkg/invoke"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/ibfabric/ibfabric/cni/record"
)

// IPAM hands out addresses and takes them back, for the attachment of a record and by
// the configuration in it. Del of what was never added is no error.
type IPAM interface {
	Add(ctx context.Context, rec *record.Record) (*types100.Result, error)
	Del(ctx context.Context, rec *record.Record) error
	Check(ctx context.Context, rec *record.Record) error
	// Status and GC are about the network; the record has no attachment.
	Status(ctx context.Context, rec *record.Record) error
	GC(ctx context.Context, rec *record.Record) error
}

// IPAMType is the IPAM plugin that a configuration names, "" for none.
func IPAMType(config []byte) string {
	var c struct {
		IPAM struct {
			Type string `json:"type"`
		} `json:"ipam"`
	}
	_ = json.Unmarshal(config, &c) // what cannot be read names none
	return c.IPAM.Type
}

// ExecIPAM calls IPAM plugins as programs, with the same call that this plugin got. It
// passes that call explicitly: a record can be undone in the call of another attachment.
type ExecIPAM struct {
	Limit time.Duration // for one call; 0: two minutes
}

func (x ExecIPAM) exec() invoke.Exec {
	return &boundedExec{limit: cmp.Or(x.Limit, ipamTime)}
}

// Add implements IPAM.
func (x ExecIPAM) Add(ctx context.Context, rec *record.Record) (*types100.Result, error) {
	program, err := ipamProgram(rec)
	if err != nil {
		return nil, err
	}
	result, err := invoke.ExecPluginWithResult(ctx, program, rec.Config, ipamArgs("ADD", rec), x.exec())
	if err != nil {
		return nil, fmt.Errorf("asking IPAM plugin %s for an address: %w", IPAMType(rec.Config), err)
	}
	// Its address is taken whatever is wrong with the answer; DEL gives it back.
	current, err := current(result)
	if err != nil {
		return nil, fmt.Errorf("the answer of IPAM plugin %s: %w", IPAMType(rec.Config), err)
	}
	return current, nil
}

// Del implements IPAM.
func (x ExecIPAM) Del(ctx context.Context, rec *record.Record) error {
	return x.call(ctx, "DEL", "giving the address back to", rec)
}

// Check implements IPAM. whereabouts has no CHECK, and says so with a code that tells nothing.
func (x ExecIPAM) Check(ctx context.Context, rec *record.Record) error {
	err := x.call(ctx, "CHECK", "checking the address with", rec)
	var e *types.Error
	if errors.As(err, &e) && e.Code == types.ErrInternal && e.Msg == "CNI CHECK method is not implemented" {
		return nil
	}
	return unlessUnknown(err)
}

// Status implements IPAM.
func (x ExecIPAM) Status(ctx context.Context, rec *record.Record) error {
	return unlessUnknown(x.call(ctx, "STATUS", "asking for the status of", rec))
}

// GC implements IPAM.
func (x ExecIPAM) GC(ctx context.Context, rec *record.Record) error {
	return unlessUnknown(x.call(ctx, "GC", "collecting addresses with", rec))
}

func (x ExecIPAM) call(ctx context.Context, command, doing string, rec *record.Record) error {
	program, err := ipamProgram(rec)
	if err != nil {
		return err
	}
	if err := invoke.ExecPluginWithoutResult(ctx, program, rec.Config, ipamArgs(command, rec), x.exec()); err != nil {
		return fmt.Errorf("%s IPAM plugin %s: %w", doing, IPAMType(rec.Config), err)
	}
	return nil
}

// unlessUnknown: a plugin that is older than the command, or does not do it in this
// version of the protocol, has said nothing.
func unlessUnknown(err error) error {
	var e *types.Error
	if errors.As(err, &e) && (e.Code == types.ErrInvalidEnvironmentVariables || e.Code == types.ErrIncompatibleCNIVersion) {
		return nil
	}
	return err
}

func ipamProgram(rec *record.Record) (string, error) {
	program, err := invoke.FindInPath(IPAMType(rec.Config), filepath.SplitList(rec.CNIPath))
	if err != nil {
		return "", Invalid("ipam.type", "%w", err)
	}
	return program, nil
}

// ipamArgs is the environment of the call; the program's own CNI variables stay behind.
func ipamArgs(command string, rec *record.Record) invoke.CNIArgs {
	env := environment{
		"CNI_COMMAND=" + command, "CNI_CONTAINERID=" + rec.ContainerID, "CNI_NETNS=" + rec.NetNS,
		"CNI_IFNAME=" + rec.IfName, "CNI_ARGS=" + rec.CNIArgs, "CNI_PATH=" + rec.CNIPath,
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "CNI_") {
			env = append(env, v)
		}
	}
	return env
}

type environment []string

func (e environment) AsEnv() []string { return e }
