package cli

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// endSignals tell the program to end: Ctrl+C, a service manager, a terminal that was closed. Windows reports a closed
// console, the end of the session and a shutdown as SIGTERM.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// untilToldToEnd returns a context that ends with the first of endSignals. The first one asks politely; from then on the
// system's own handling is back, and a second one ends the process. A signal that the program was started to ignore, as by
// nohup, stays ignored.
func untilToldToEnd(parent context.Context) (context.Context, context.CancelFunc) {
	var heard []os.Signal
	for _, s := range endSignals {
		if !signal.Ignored(s) {
			heard = append(heard, s)
		}
	}
	if len(heard) == 0 { // of none, NotifyContext would hear all signals
		return context.WithCancel(parent)
	}
	ctx, stop := signal.NotifyContext(parent, heard...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// endWithin is what a command has to tidy up in once it is told to end. Most need a few milliseconds. What the system does
// not let go of, such as a file on a network drive that hangs, or output that nobody takes, is left behind: the end of the
// process lets go of it.
const endWithin = time.Second

// ending bounds the time between the signal and the end of the process, so that a second signal is never needed.
type ending struct{ within atomic.Int64 }

func newEnding() *ending {
	e := &ending{}
	e.allow(endWithin)
	return e
}

// allow changes the bound.
func (e *ending) allow(d time.Duration) { e.within.Store(int64(d)) }

// run returns what command returns, or the context's cause where command does not end in time.
func (e *ending) run(ctx context.Context, command func() error) error {
	done := make(chan error, 1)
	go func() { done <- command() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(time.Duration(e.within.Load())):
		return context.Cause(ctx)
	}
}
