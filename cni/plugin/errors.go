package plugin

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/ibfabric/ibfabric/cni/txn"
)

// Error is an error with its code in the CNI protocol and, where it is about the
// configuration, the name of the field.
type Error struct {
	Code  uint
	Field string
	Err   error
}

func (e *Error) Error() string {
	if e.Field == "" {
		return e.Err.Error()
	}
	return e.Field + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Invalid is an error of the configuration: code 7. The text says what to write instead.
func Invalid(field, format string, args ...any) error {
	return &Error{Code: types.ErrInvalidNetworkConfig, Field: field, Err: fmt.Errorf(format, args...)}
}

// NoDevice is the error for a configuration without deviceID.
func NoDevice() error {
	return Invalid("deviceID", "is missing; Multus fills it in when the network has the annotation k8s.v1.cni.cncf.io/resourceName and the pod asks for that resource")
}

// Later is an error that time mends: code 11, try again later.
func Later(format string, args ...any) error {
	return &Error{Code: types.ErrTryAgainLater, Err: fmt.Errorf(format, args...)}
}

// ToCNI is err as the protocol has it: a code and one text.
func ToCNI(err error) error {
	if err == nil {
		return nil
	}
	var (
		coded *Error
		busy  *txn.BusyError
		inUse *txn.InUseError
		ended *txn.EndedError
		code  = types.ErrInternal
	)
	switch {
	case errors.As(err, &coded):
		code = coded.Code
	case errors.As(err, &busy), errors.As(err, &inUse):
		code = types.ErrTryAgainLater
	case errors.As(err, &ended):
		code = types.ErrInvalidNetNS
	}
	return types.NewError(code, strings.ReplaceAll(err.Error(), "\n", "; "), "")
}
