package studio

import (
	"context"
	"time"
)

// Loop is the goroutine that the state of a window belongs to. All of the studio runs on it, except the work that
// Background starts.
type Loop struct {
	Post  func(func()) // runs a function on the loop's goroutine: the only way back from another one
	Spawn func(func()) // runs a function on a goroutine of its own
	// After runs a function on the loop's goroutine after a time, unless it is stopped before.
	After   func(d time.Duration, do func()) (stop func() bool)
	Closing context.Context // ends when the window closes
	Close   context.CancelFunc
}

// NewLoop returns a loop that posts and spawns with the given functions: see Loop.Post and Loop.Spawn.
func NewLoop(post, spawn func(func())) *Loop {
	l := &Loop{Post: post, Spawn: spawn}
	l.After = func(d time.Duration, do func()) func() bool { return time.AfterFunc(d, func() { post(do) }).Stop }
	l.Closing, l.Close = context.WithCancel(context.Background())
	return l
}

// Background runs work away from the loop's goroutine, and what it returns on it. work touches no widget and no state:
// it uses what it was given. After the window has closed, what work returns is dropped.
func (l *Loop) Background(work func() (done func())) {
	l.Spawn(func() {
		if done := work(); done != nil && l.Closing.Err() == nil {
			l.Post(done)
		}
	})
}

// Event tells its subscribers that something happened. They run on the loop's goroutine, in the order in which they
// subscribed. A subscription has no end: the parts of a window live as long as its studio.
type Event[T any] struct{ subscribers []func(T) }

// Subscribe has do called each time that the event happens.
func (e *Event[T]) Subscribe(do func(T)) { e.subscribers = append(e.subscribers, do) }

func (e *Event[T]) tell(what T) {
	for _, do := range e.subscribers {
		do(what)
	}
}

// Signal is an Event without a value.
type Signal struct{ subscribers []func() }

// Subscribe has do called each time that the signal is given.
func (s *Signal) Subscribe(do func()) { s.subscribers = append(s.subscribers, do) }

func (s *Signal) tell() {
	for _, do := range s.subscribers {
		do()
	}
}
