package controller

import (
	"errors"

	"github.com/ibfabric/ibfabric/guid"
)

// splitBudget bounds the refusals that one pass may cost UFM. What is left untried
// comes with the next pass, when the culprits found so far are set aside.
const splitBudget = 64

// errUntried says that a batch was cut short.
var errUntried = errors.New("more members to try: UFM refused too many in one go")

// split sends guids in chunks. A chunk that is refused is halved until the culprits
// stand alone; the others go through. It stops at any other error.
func split(guids []guid.GUID, chunk int, send func([]guid.GUID) error) (refused map[guid.GUID]error, err error) {
	refused = map[guid.GUID]error{}
	budget := splitBudget
	var try func([]guid.GUID) error
	try = func(part []guid.GUID) error {
		if budget == 0 {
			return errUntried
		}
		err := send(part)
		if err == nil || !isRejected(err) {
			return err
		}
		budget--
		if len(part) == 1 {
			refused[part[0]] = err
			return nil
		}
		half := len(part) / 2
		if err := try(part[:half]); err != nil {
			return err
		}
		return try(part[half:])
	}
	for len(guids) > 0 {
		n := min(chunk, len(guids))
		if err := try(guids[:n]); err != nil {
			return refused, err
		}
		guids = guids[n:]
	}
	return refused, nil
}
