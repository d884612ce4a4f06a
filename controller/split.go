package controller

import (
	"errors"
	"math/rand/v2"

	"github.com/ibfabric/ibfabric/guid"
)

// splitBudget bounds the refusals that one pass may cost UFM. What is left untried
// comes with the next pass, when the culprits found so far are set aside.
const splitBudget = 64

// errUntried says that a batch was cut short.
var errUntried = errors.New("more members to try: UFM refused too many in one go")

// split sends guids in chunks. A chunk that is refused is halved until the culprits
// stand alone; the others go through. When two stand alone and nothing went through
// yet, it is the partition that is refused, and so is all the rest. split stops at any
// other error. The order is by chance, so that no culprit is in the way of the same
// others each time.
func split(guids []guid.GUID, chunk int, send func([]guid.GUID) error) (refused map[guid.GUID]error, err error) {
	s := &splitter{send: send, refused: map[guid.GUID]error{}}
	for len(guids) > 0 {
		n := min(chunk, len(guids))
		if err := s.try(guids[:n]); err != nil {
			return s.refused, err
		}
		guids = guids[n:]
	}
	return s.refused, nil
}

type splitter struct {
	send     func([]guid.GUID) error
	refused  map[guid.GUID]error
	refusals int
	through  bool
}

func (s *splitter) try(part []guid.GUID) error {
	if s.refusals == splitBudget {
		return errUntried
	}
	err := s.send(part)
	switch {
	case err == nil:
		s.through = true
		return nil
	case !isRejected(err):
		return err
	}
	s.refusals++
	if len(part) == 1 || (len(s.refused) > 1 && !s.through) {
		for _, g := range part {
			s.refused[g] = err
		}
		return nil
	}
	if s.refusals == 1 {
		part = append([]guid.GUID(nil), part...)
		rand.Shuffle(len(part), func(i, j int) { part[i], part[j] = part[j], part[i] })
	}
	half := len(part) / 2
	if err := s.try(part[:half]); err != nil {
		return err
	}
	return s.try(part[half:])
}
