package app

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// closesIn is what the window has to close in once the system tells the program to end. It stores what was typed, which
// takes milliseconds.
const closesIn = 3 * time.Second

// exitTold is the exit code of a program that was told to end and did not come to it, as the command line's.
const exitTold = 130

// endWhenTold ends the program within a time of the first signal that asks for it, even where Fyne's loop hangs: Fyne
// closes its window in that loop. Fyne itself listens to SIGINT and SIGTERM; for a terminal that was closed quit
// closes the window. A second signal ends the program at once. A signal that the program was started to ignore, as by
// nohup, stays ignored.
func endWhenTold(within time.Duration, quit func()) {
	heard := make(chan os.Signal, 1)
	var signals []os.Signal
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signals = append(signals, s)
			signal.Notify(heard, s)
		}
	}
	go func() {
		told := <-heard
		signal.Reset(signals...)
		time.AfterFunc(within, func() { os.Exit(exitTold) })
		if told == syscall.SIGHUP {
			quit()
		}
	}()
}
