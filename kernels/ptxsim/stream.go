package ptxsim

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// A stream is a queue of work that runs when a caller waits for it.
type stream struct {
	context   *Context
	queue     []func() error
	done      int64  // how many pieces of work have run
	recording *graph // nil, or the graph that BeginCapture has started
	destroyed bool
}

func (s *stream) issued() int64 { return s.done + int64(len(s.queue)) }

func (s *stream) enqueue(work func() error) {
	if s.recording != nil {
		s.recording.work = append(s.recording.work, work)
		return
	}
	s.queue = append(s.queue, work)
}

// drain runs the work before a position.
func (s *stream) drain(position int64) error {
	for s.done < position && len(s.queue) > 0 {
		work := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		s.done++
		if err := work(); err != nil {
			s.queue = nil
			return err
		}
	}
	return nil
}

func (s *stream) enter(operation string) error {
	if err := s.context.enter(operation); err != nil {
		return err
	}
	if s.destroyed {
		s.context.mu.Unlock()
		return fmt.Errorf("%s: stream: %w", operation, cu.ErrClosed)
	}
	return nil
}

func (s *stream) MemcpyHtoDAsync(dst cu.DevicePtr, src []byte) error {
	if err := s.enter("copy to device"); err != nil {
		return err
	}
	defer s.context.mu.Unlock()
	a, at, err := s.context.memory.span(uint64(dst), int64(len(src)))
	if err != nil {
		return fmt.Errorf("copy to device: %w", err)
	}
	s.enqueue(func() error {
		copy(a.data[at:], src)
		a.define(at, len(src), true)
		return nil
	})
	return nil
}

func (s *stream) MemcpyDtoHAsync(dst []byte, src cu.DevicePtr) error {
	if err := s.enter("copy from device"); err != nil {
		return err
	}
	defer s.context.mu.Unlock()
	a, at, err := s.context.memory.span(uint64(src), int64(len(dst)))
	if err != nil {
		return fmt.Errorf("copy from device: %w", err)
	}
	s.enqueue(func() error {
		copy(dst, a.data[at:at+len(dst)])
		return nil
	})
	return nil
}

// MemcpyDtoDAsync copies bytes, and whether each of them has been written.
func (s *stream) MemcpyDtoDAsync(dst, src cu.DevicePtr, bytes int64) error {
	if err := s.enter("copy on device"); err != nil {
		return err
	}
	defer s.context.mu.Unlock()
	to, toAt, err := s.context.memory.span(uint64(dst), bytes)
	if err != nil {
		return fmt.Errorf("copy on device: destination: %w", err)
	}
	from, fromAt, err := s.context.memory.span(uint64(src), bytes)
	if err != nil {
		return fmt.Errorf("copy on device: source: %w", err)
	}
	if to == from && toAt < fromAt+int(bytes) && fromAt < toAt+int(bytes) {
		return errors.New("copy on device: source and destination overlap")
	}
	s.enqueue(func() error {
		copy(to.data[toAt:toAt+int(bytes)], from.data[fromAt:])
		if to.init != nil {
			for i := range int(bytes) {
				to.define(toAt+i, 1, from.init[(fromAt+i)>>6]>>((fromAt+i)&63)&1 != 0)
			}
		}
		return nil
	})
	return nil
}

func (s *stream) MemsetD8Async(dst cu.DevicePtr, value byte, bytes int64) error {
	if err := s.enter("fill"); err != nil {
		return err
	}
	defer s.context.mu.Unlock()
	a, at, err := s.context.memory.span(uint64(dst), bytes)
	if err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	s.enqueue(func() error {
		to := a.data[at : at+int(bytes)]
		for i := range to {
			to[i] = value
		}
		a.define(at, int(bytes), true)
		return nil
	})
	return nil
}

func (s *stream) Wait(on cu.Event) error {
	if err := s.enter("wait for event"); err != nil {
		return err
	}
	defer s.context.mu.Unlock()
	e, ok := on.(*event)
	if !ok || e.context != s.context {
		return errors.New("wait for event: the event is not of this context")
	}
	if e.stream == nil {
		return nil
	}
	if s.recording != nil {
		return errors.New("wait for event: events in a recording are not supported")
	}
	from, position := e.stream, e.position
	s.enqueue(func() error { return from.drain(position) })
	return nil
}

func (s *stream) Synchronize() error {
	if err := s.enter("synchronize"); err != nil {
		return err
	}
	defer s.context.mu.Unlock()
	if s.recording != nil {
		return errors.New("synchronize: the stream is recording")
	}
	if err := s.drain(s.issued()); err != nil {
		return fmt.Errorf("synchronize: %w", err)
	}
	return nil
}

func (s *stream) BeginCapture() error {
	if err := s.enter("begin capture"); err != nil {
		return err
	}
	defer s.context.mu.Unlock()
	if s.recording != nil {
		return errors.New("begin capture: the stream is recording")
	}
	s.recording = &graph{context: s.context}
	return nil
}

func (s *stream) EndCapture() (cu.Graph, error) {
	if err := s.enter("end capture"); err != nil {
		return nil, err
	}
	defer s.context.mu.Unlock()
	g := s.recording
	if g == nil {
		return nil, errors.New("end capture: the stream is not recording")
	}
	s.recording = nil
	return g, nil
}

func (s *stream) Destroy() error {
	if err := s.context.enter("destroy stream"); err != nil {
		return err
	}
	defer s.context.mu.Unlock()
	if s.destroyed {
		return nil
	}
	err := s.drain(s.issued())
	s.destroyed = true
	s.context.streams = slices.DeleteFunc(s.context.streams, func(o *stream) bool { return o == s })
	return err
}

func (e *event) Record(on cu.Stream) error {
	if err := e.context.enter("record event"); err != nil {
		return err
	}
	defer e.context.mu.Unlock()
	s, ok := on.(*stream)
	if !ok || s.context != e.context || s.destroyed {
		return errors.New("record event: the stream is not of this context")
	}
	if s.recording != nil {
		return errors.New("record event: events in a recording are not supported")
	}
	s.enqueue(func() error {
		e.at = time.Now()
		return nil
	})
	e.stream, e.position = s, s.issued()
	return nil
}

// Query runs the work before the event and returns true, so that a loop of Query ends.
func (e *event) Query() (bool, error) {
	if err := e.Synchronize(); err != nil {
		return false, err
	}
	return true, nil
}

func (e *event) Synchronize() error {
	if err := e.context.enter("wait for event"); err != nil {
		return err
	}
	defer e.context.mu.Unlock()
	if e.stream == nil {
		return nil
	}
	if err := e.stream.drain(e.position); err != nil {
		return fmt.Errorf("wait for event: %w", err)
	}
	return nil
}

func (e *event) Elapsed(start cu.Event) (time.Duration, error) {
	if err := e.context.enter("elapsed"); err != nil {
		return 0, err
	}
	defer e.context.mu.Unlock()
	s, ok := start.(*event)
	if !ok || s.context != e.context || !s.timing || !e.timing {
		return 0, errors.New("elapsed: the events are not of this context or without timing")
	}
	if s.at.IsZero() || e.at.IsZero() {
		return 0, errors.New("elapsed: an event has not been reached")
	}
	return e.at.Sub(s.at), nil
}

func (e *event) Destroy() error { return nil }

// A graph is recorded work. It is both the cu.Graph and the cu.GraphExec.
type graph struct {
	context *Context
	work    []func() error
}

func (g *graph) Instantiate() (cu.GraphExec, error) {
	if err := g.context.enter("instantiate"); err != nil {
		return nil, err
	}
	defer g.context.mu.Unlock()
	return &graph{context: g.context, work: slices.Clone(g.work)}, nil
}

func (g *graph) Launch(on cu.Stream) error {
	if err := g.context.enter("launch graph"); err != nil {
		return err
	}
	defer g.context.mu.Unlock()
	s, ok := on.(*stream)
	if !ok || s.context != g.context || s.destroyed {
		return errors.New("launch graph: the stream is not of this context")
	}
	for _, work := range g.work {
		s.enqueue(work)
	}
	return nil
}

func (g *graph) Destroy() error { return nil }
