package inference

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Plan is the memory of the graphics card that a request takes, in bytes.
type Plan struct {
	// WeightsBytes is the size of all weights, ActivationsBytes that of the working memory, KeptBytes that of results that
	// later runs use.
	WeightsBytes, ActivationsBytes, KeptBytes int64
	// PeakBytes is the largest amount of memory that the request uses at a time. If not all weights fit, they are loaded
	// again and again, which takes time. With less than LeastBytes the request cannot be computed.
	PeakBytes, LeastBytes int64
	// RoomBytes is how much memory the request can have now, TotalBytes the whole memory of the card.
	RoomBytes, TotalBytes int64
}

// Fits says whether the request can be computed now.
func (p Plan) Fits() bool { return p.LeastBytes <= p.RoomBytes }

// String returns a text for people, such as "9.5 of 11.8 GB".
func (p Plan) String() string {
	gb := func(bytes int64) float64 { return float64(bytes) / 1e9 }
	if !p.Fits() {
		return fmt.Sprintf("%.1f GB at least, of which %.1f can be had", gb(p.LeastBytes), gb(p.RoomBytes))
	}
	return fmt.Sprintf("%.1f of %.1f GB", gb(p.PeakBytes), gb(p.RoomBytes))
}

// ErrNoPlan is returned by Plan if the engine computes on the processor, whose memory the system manages.
var ErrNoPlan = errors.New("inference: memory is planned on graphics cards only")

// Plan returns the memory that req takes. Nothing is computed. It may be called while a picture is being made.
func (e *Engine) Plan(req Request) (Plan, error) {
	loras, err := e.openLoRAs(context.Background(), req.loras)
	if err != nil {
		return Plan{}, err
	}
	s := e.shapeOf(req)
	s.loras, _ = e.setOf(loras)
	m, err := e.planner.memory(e, s)
	if err != nil {
		return Plan{}, err
	}
	room, total, err := e.planner.device.Room()
	return Plan{
		WeightsBytes: m.Weights(), ActivationsBytes: m.Activations, KeptBytes: m.Kept,
		PeakBytes: m.Peak(room), LeastBytes: m.Least(), RoomBytes: room, TotalBytes: total,
	}, err
}

// planner finds out how much memory requests need, by a rehearsal for each shape. It remembers the results.
type planner struct {
	mu        sync.Mutex
	device    backend.Planned
	rehearsal backend.Rehearsal
	networks  networks
	known     map[shape]backend.Memory
	closed    bool
}

// plannedShapes is how many results the planner remembers.
const plannedShapes = 256

// plannedSteps is how many steps a rehearsal has: all steps are alike, and a second step shows which memory is kept
// between two.
const plannedSteps = 2

func (p *planner) memory(e *Engine, s shape) (backend.Memory, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return backend.Memory{}, ErrClosed
	case p.device == nil:
		return backend.Memory{}, ErrNoPlan
	}
	s.steps, s.start = min(s.run(), plannedSteps), 0
	m, ok := p.known[s]
	if ok {
		return m, nil
	}
	if len(p.known) == plannedShapes {
		p.known = nil
	}
	if p.known == nil {
		p.known = map[shape]backend.Memory{}
	}
	fresh := newCaches(p.rehearsal)
	r := e.newRun(context.Background(), p.networks, &fresh, s, func(Progress) {})
	p.rehearsal.Begin(r.ctx)
	_, err := r.picture()
	r.s.Free()
	if err == nil {
		m = p.rehearsal.Memory()
		p.known[s] = m
	}
	return m, err
}

func (p *planner) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.networks, p.rehearsal = true, networks{}, nil
}

// reserve makes room for r on the device. It drops the caches if there is not enough room beside them.
func (e *Engine) reserve(r *run) error {
	device := e.planner.device
	if device == nil {
		return nil
	}
	m, err := e.planner.memory(e, r.shape)
	if err != nil {
		return err
	}
	rest := m
	rest.Kept -= r.keptBytes()
	err = device.Reserve(rest)
	var full *backend.MemoryError
	if errors.As(err, &full) && len(e.prompts.entries)+len(e.references.entries)+len(e.keysValues.entries) > 0 {
		e.caches.drop()
		err = device.Reserve(m)
	}
	return err
}

// explain adds to an error about too little memory which size would fit. s is the shape of the request.
func (e *Engine) explain(err error, s shape) error {
	var full *backend.MemoryError
	if errors.As(err, &full) {
		return fmt.Errorf("%w; %s", err, e.fits(s, full.Room))
	}
	return err
}

// fits returns a sentence that names the largest size with the proportions of s that fits into room bytes.
func (e *Engine) fits(s shape, room int64) string {
	if s.sized {
		return "the size of an edit follows from image 1 and the model, and cannot be made smaller"
	}
	const parts = 32
	size := func(i int) picture.Size {
		return picture.Size{Width: s.size.Width * i / parts / 16 * 16, Height: s.size.Height * i / parts / 16 * 16}
	}
	fitting := sort.Search(parts, func(i int) bool {
		smaller := s
		if smaller.size = size(i + 1); smaller.size.Check() != nil {
			return false
		}
		m, err := e.planner.memory(e, smaller)
		return err != nil || m.Least() > room
	})
	switch smaller := size(fitting); {
	case fitting > 0 && smaller.Check() == nil:
		return fmt.Sprintf("%v would fit", smaller)
	case len(s.referenced()) > 0:
		return "no smaller size would fit with these references"
	}
	return "no smaller size would fit"
}
