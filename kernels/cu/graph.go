package cu

import (
	"fmt"
	"unsafe"
)

// CU_STREAM_CAPTURE_MODE_RELAXED: while one goroutine records, others go on allocating and asking events on the
// same thread, which the stricter modes would answer by spoiling the recording.
const captureRelaxed = 2

// BeginCapture implements Stream.
func (s *stream) BeginCapture() error {
	if err := s.c.require(graphs); err != nil {
		return err
	}
	return s.c.Do(func() error {
		on, err := s.c.stream(s)
		if err != nil {
			return err
		}
		return s.c.check(cuStreamBeginCapture, s.c.call(cuStreamBeginCapture, on, captureRelaxed))
	})
}

// EndCapture implements Stream.
func (s *stream) EndCapture() (Graph, error) {
	if err := s.c.require(graphs); err != nil {
		return nil, err
	}
	g := &graph{c: s.c}
	err := s.c.Do(func() error {
		on, err := s.c.stream(s)
		if err != nil {
			return err
		}
		r := s.c.call(cuStreamEndCapture, on, uintptr(unsafe.Pointer(&g.handle)))
		if r == success {
			s.c.made(cuGraphDestroy, g.handle)
		}
		return s.c.check(cuStreamEndCapture, r)
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

type graph struct {
	c      *driverContext
	handle uintptr
}

// Instantiate implements Graph.
func (g *graph) Instantiate() (GraphExec, error) {
	x := &graphExec{c: g.c}
	err := g.c.Do(func() error {
		if g.handle == 0 {
			return fmt.Errorf("graph: %w", ErrClosed)
		}
		r := g.c.call(cuGraphInstantiate, uintptr(unsafe.Pointer(&x.handle)), g.handle, 0)
		if r == success {
			g.c.made(cuGraphExecDestroy, x.handle)
		}
		return g.c.check(cuGraphInstantiate, r)
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Destroy implements Graph.
func (g *graph) Destroy() error { return g.c.destroyOnce(cuGraphDestroy, &g.handle) }

type graphExec struct {
	c      *driverContext
	handle uintptr
}

// Launch implements GraphExec.
func (x *graphExec) Launch(s Stream) error {
	c := x.c
	if !c.here() {
		return c.Do(func() error { return x.Launch(s) })
	}
	if x.handle == 0 {
		return fmt.Errorf("graph: %w", ErrClosed)
	}
	on, err := c.stream(s)
	if err != nil {
		return err
	}
	return c.queue(cuGraphLaunch, x.handle, on, 0, 0)
}

// Destroy implements GraphExec.
func (x *graphExec) Destroy() error { return x.c.destroyOnce(cuGraphExecDestroy, &x.handle) }
