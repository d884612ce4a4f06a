package cli

import (
	"io"
	"slices"
	"strings"

	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/fault"
	"github.com/ibfabric/ibfabric/cmd/ibfabric/internal/show"
	"github.com/ibfabric/ibfabric/controller/console/api"
)

// verb is what a console does to a list of things: it checks them all, a person is asked
// about those that it would do, and then it does them. T is a thing, and R what came of one.
type verb[T, R any] struct {
	ask      func(things []T, dryRun bool) ([]R, error)
	ok       func(R) bool // it was done, or would be
	thing    func(R) T
	line     func(R) string // about one that would be done
	question func(n int) string
	print    func(results []R, done string) error
	done     string // removed
}

// run does it. Of a dry run, and where nothing can be done, it prints what was checked.
func (v verb[T, R]) run(a *app, p *show.Progress, things []T, yes, dryRun bool) error {
	checked, err := v.inBatches(things, true)
	if err != nil {
		return err
	}
	var clear []T
	var left []R
	var lines strings.Builder
	for _, r := range checked {
		if !v.ok(r) {
			left = append(left, r)
			continue
		}
		clear = append(clear, v.thing(r))
		lines.WriteString(v.line(r))
	}
	p.Done()
	if dryRun || len(clear) == 0 {
		return v.tell(checked, "would be "+v.done)
	}
	if _, err := io.WriteString(a.Err, lines.String()); err != nil { // stdout is for the outcome
		return err
	}
	if err := a.confirm(yes, v.question(len(clear))); err != nil {
		return err
	}
	done, err := v.inBatches(clear, false)
	done = append(done, left...) // with why not
	if len(done) == 0 {
		return err
	}
	if printErr := v.tell(done, v.done); err == nil {
		err = printErr
	}
	return err
}

// inBatches asks in as many requests as it takes. With an error it returns what was done
// before.
func (v verb[T, R]) inBatches(things []T, dryRun bool) ([]R, error) {
	results := []R{}
	for part := range slices.Chunk(things, api.MaxReclaim) {
		some, err := v.ask(part, dryRun)
		if err != nil {
			return results, err
		}
		results = append(results, some...)
	}
	return results, nil
}

// tell prints what became of the things, and is ErrFound where some were left.
func (v verb[T, R]) tell(results []R, done string) error {
	if err := v.print(results, done); err != nil {
		return err
	}
	if slices.ContainsFunc(results, func(r R) bool { return !v.ok(r) }) {
		return fault.ErrFound
	}
	return nil
}

func outcomeText(ok bool, done, failed string) string {
	if ok {
		return done
	}
	return "left: " + failed
}
