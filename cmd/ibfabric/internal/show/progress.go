package show

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// quiet is how long work goes on before anybody is told.
const quiet = 2 * time.Second

// Progress is one line that says what goes on, for work that takes long. It is erased when
// the work is done. The zero Progress, and a nil one, say nothing.
type Progress struct {
	out   io.Writer
	timer *time.Timer

	mu    sync.Mutex // protects what follows, and writing
	text  string
	shown bool
	done  bool
}

// NewProgress begins a line on a terminal; a nil out is none.
func NewProgress(out io.Writer, text string) *Progress {
	p := &Progress{out: out, text: text}
	if out != nil {
		p.timer = time.AfterFunc(quiet, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.shown = !p.done
			p.write()
		})
	}
	return p
}

// Say changes the line.
func (p *Progress) Say(format string, args ...any) {
	if p == nil || p.out == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = Clean(fmt.Sprintf(format, args...))
	p.write()
}

func (p *Progress) write() {
	if p.shown && !p.done {
		_, _ = fmt.Fprintf(p.out, "\r\x1b[K%.100s …", p.text) // nobody misses it
	}
}

// Done erases the line.
func (p *Progress) Done() {
	if p == nil || p.out == nil {
		return
	}
	p.timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown && !p.done {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.done = true
}
