package app

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// closesIn is how long the window may take to close after the system has told the program to end. It stores what was
// typed, which takes milliseconds.
const closesIn = 3 * time.Second

// exitTold is the exit code if the window did not close in that time; the command line uses the same one.
const exitTold = 130

// endWhenTold ends the program at most a time after the first signal that asks for it. Fyne itself closes the window on
// SIGINT and SIGTERM, but in its loop, which may hang; it does not listen to SIGHUP, which comes when the terminal was
// closed, so endWhenTold calls quit then. A second signal ends the program at once. A signal that the program was
// started to ignore, as nohup does, stays ignored.
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
