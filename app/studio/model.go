package studio

import (
	"context"

	"github.com/kleinbild/kleinbild/inference"
)

// Engine is what makes pictures.
type Engine = inference.Generator

// Planner is an Engine that knows beforehand what a picture takes of a graphics card's memory.
type Planner interface {
	// Plan may take a moment. It fails with inference.ErrNoPlan if there is no card to plan for.
	Plan(req inference.Request) (inference.Plan, error)
}

// OpenModel is the engine that is open, if there is one, and the opening of another one.
type OpenModel struct {
	Changed Signal       // an opening has begun, and there is no engine until it ends; or an opening has ended
	Opened  Event[error] // an opening has ended, with an engine (nil) or an error; told after Changed

	loop    *Loop
	open    func(context.Context, inference.Options) (Engine, error)
	engine  Engine
	opening bool
	stop    context.CancelFunc // ends the opening under way
	err     error
}

// NewOpenModel returns a model that nothing has been opened for yet; open is as inference.Open.
func NewOpenModel(loop *Loop, open func(context.Context, inference.Options) (Engine, error)) *OpenModel {
	return &OpenModel{loop: loop, open: open}
}

// Engine returns the engine that is open, nil for none.
func (m *OpenModel) Engine() Engine { return m.engine }

// Info returns what is known of the engine; ok is false if none is open.
func (m *OpenModel) Info() (info inference.Info, ok bool) {
	if m.engine == nil {
		return info, false
	}
	return m.engine.Info(), true
}

// Opening says whether an engine is being opened.
func (m *OpenModel) Opening() bool { return m.opening }

// Err is why the last opening failed, nil if it did not.
func (m *OpenModel) Err() error { return m.err }

// OnlyDemo says whether the demo model serves because there is no other.
func (m *OpenModel) OnlyDemo() bool {
	info, ok := m.Info()
	return ok && info.Missing != nil
}

// Open closes the engine that is open and opens another one. If one is being opened already, that is given up. A run
// under way goes on with the old engine until it ends.
func (m *OpenModel) Open(opts inference.Options) {
	m.OpenBy(func(ctx context.Context) (Engine, error) { return m.open(ctx, opts) })
}

// OpenBy is Open for an engine that open opens, in the background.
func (m *OpenModel) OpenBy(open func(context.Context) (Engine, error)) {
	if m.opening {
		m.stop()
	}
	ctx, cancel := context.WithCancel(m.loop.Closing)
	m.stop = cancel
	old := m.engine
	m.engine, m.opening, m.err = nil, true, nil
	m.Changed.tell()
	m.loop.Background(func() func() {
		var e Engine
		var err error
		if old != nil {
			err = old.Close()
		}
		if err == nil {
			e, err = open(ctx)
		}
		return func() {
			if ctx.Err() == nil {
				m.opening, m.engine, m.err = false, e, err
				m.Changed.tell()
				m.Opened.tell(err)
			} else if e != nil { // another one is being opened
				m.loop.Background(func() func() { _ = e.Close(); return nil })
			}
			cancel()
		}
	})
}
