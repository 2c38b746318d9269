package cli

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// endSignals are the signals that tell the program to end. They come from Ctrl+C, a service manager, or a terminal that
// was closed. Go reports a closed console, a logoff and a shutdown of Windows as SIGTERM.
var endSignals = []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP}

// untilSignal returns a context that ends with the first of endSignals. After that the system handles the signals as
// usual, so that a second one ends the process at once. A signal that was ignored when the program started, as with
// nohup, stays ignored.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	var heard []os.Signal
	for _, s := range endSignals {
		if !signal.Ignored(s) {
			heard = append(heard, s)
		}
	}
	if len(heard) == 0 { // without arguments NotifyContext would listen to all signals
		return context.WithCancel(parent)
	}
	ctx, stop := signal.NotifyContext(parent, heard...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// endWithin is how long a command may take to clean up after the first signal. Most commands take a few milliseconds.
// If a system call does not return, such as reading a file on a network drive that hangs or writing to a pipe that
// nobody reads, the program does not wait for it: the end of the process also ends the call.
const endWithin = time.Second

// ending bounds the time between the signal and the end of the process, so that a second signal is never needed.
type ending struct{ within atomic.Int64 }

func newEnding() *ending {
	e := &ending{}
	e.allow(endWithin)
	return e
}

// allow sets how long a command may take to end after the first signal.
func (e *ending) allow(d time.Duration) { e.within.Store(int64(d)) }

// run calls command and returns its error. If ctx ends and command does not return in time after that, run returns the
// cause of ctx.
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
