package driver

import (
	"fmt"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// CU_STREAM_CAPTURE_MODE_RELAXED: while one goroutine records, others may allocate memory and query events on the same
// thread. In the stricter modes that would invalidate the recording.
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
		return s.c.check(CuStreamBeginCapture, s.c.StreamBeginCapture(on, captureRelaxed))
	})
}

// EndCapture implements Stream.
func (s *stream) EndCapture() (cu.Graph, error) {
	if err := s.c.require(graphs); err != nil {
		return nil, err
	}
	g := &graph{c: s.c}
	err := s.c.Do(func() error {
		on, err := s.c.stream(s)
		if err != nil {
			return err
		}
		var r Result
		if g.handle, r = s.c.StreamEndCapture(on); r == Success {
			s.c.made(CuGraphDestroy, g.handle)
		}
		return s.c.check(CuStreamEndCapture, r)
	})
	if err != nil {
		return nil, err
	}
	return g, nil
}

type graph struct {
	c      *driverContext
	handle Handle
}

// Instantiate implements Graph.
func (g *graph) Instantiate() (cu.GraphExec, error) {
	x := &graphExec{c: g.c}
	err := g.c.Do(func() error {
		if g.handle == 0 {
			return fmt.Errorf("graph: %w", cu.ErrClosed)
		}
		var r Result
		if x.handle, r = g.c.GraphInstantiate(g.handle); r == Success {
			g.c.made(CuGraphExecDestroy, x.handle)
		}
		return g.c.check(CuGraphInstantiate, r)
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Destroy implements Graph.
func (g *graph) Destroy() error { return g.c.destroyOnce(CuGraphDestroy, &g.handle) }

type graphExec struct {
	c      *driverContext
	handle Handle
}

// Launch implements GraphExec.
func (x *graphExec) Launch(s cu.Stream) error {
	c := x.c
	if !c.here() {
		return c.Do(func() error { return x.Launch(s) })
	}
	if x.handle == 0 {
		return fmt.Errorf("graph: %w", cu.ErrClosed)
	}
	on, err := c.stream(s)
	if err != nil {
		return err
	}
	return c.check(CuGraphLaunch, c.GraphLaunch(x.handle, on))
}

// Destroy implements GraphExec.
func (x *graphExec) Destroy() error { return x.c.destroyOnce(CuGraphExecDestroy, &x.handle) }
