package inference

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"kleinbild/inference/backend"
	"kleinbild/inference/picture"
)

// Plan is the memory of the graphics card that a request takes, in bytes.
type Plan struct {
	// WeightsBytes is of all weights, ActivationsBytes of the working memory, KeptBytes of what is kept for later runs.
	WeightsBytes, ActivationsBytes, KeptBytes int64
	// PeakBytes is the most that is taken at a time: weights that do not fit together come and go, which takes time.
	// LeastBytes is what it cannot do without.
	PeakBytes, LeastBytes int64
	// RoomBytes is what the request can have now, TotalBytes all of the card's memory.
	RoomBytes, TotalBytes int64
}

// Fits says whether the request can be computed now.
func (p Plan) Fits() bool { return p.LeastBytes <= p.RoomBytes }

// String is for people: "9.5 of 11.8 GB".
func (p Plan) String() string {
	gb := func(bytes int64) float64 { return float64(bytes) / 1e9 }
	if !p.Fits() {
		return fmt.Sprintf("%.1f GB at least, of which %.1f can be had", gb(p.LeastBytes), gb(p.RoomBytes))
	}
	return fmt.Sprintf("%.1f of %.1f GB", gb(p.PeakBytes), gb(p.RoomBytes))
}

// ErrNoPlan is returned by Plan where the engine computes in the machine's own memory, which pages come to and leave.
var ErrNoPlan = errors.New("inference: memory is planned on graphics cards only")

// Plan says what memory req takes, also while another run is under way. Nothing is computed.
func (e *Engine) Plan(req Request) (Plan, error) {
	m, err := e.planner.memory(e, req)
	if err != nil {
		return Plan{}, err
	}
	room, total, err := e.planner.device.Room()
	return Plan{
		WeightsBytes: m.Weights(), ActivationsBytes: m.Activations, KeptBytes: m.Kept,
		PeakBytes: m.Peak(room), LeastBytes: m.Least(), RoomBytes: room, TotalBytes: total,
	}, err
}

// planner finds out what memory requests need, by a rehearsal of each shape of request.
type planner struct {
	mu        sync.Mutex
	device    backend.Planned
	rehearsal backend.Rehearsal
	networks  networks
	known     map[string]backend.Memory
	closed    bool
}

// plannedShapes bounds what is remembered.
const plannedShapes = 256

func (p *planner) memory(e *Engine, req Request) (backend.Memory, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return backend.Memory{}, ErrClosed
	case p.device == nil:
		return backend.Memory{}, ErrNoPlan
	}
	req, err := e.complete(req)
	if err != nil {
		return backend.Memory{}, err
	}
	req.References = e.forModel(req.References)
	// Steps are alike; two show what lies between them.
	req.Steps = min(req.Steps, 2)
	key := fmt.Sprint(req.Size, req.Steps, req.Preview, e.guided(req), req.Prompt == "")
	for _, ref := range req.References {
		key += fmt.Sprint(ref.Size, ref.PixelsSHA256)
	}
	m, ok := p.known[key]
	if ok {
		return m, nil
	}
	if len(p.known) == plannedShapes {
		p.known = nil
	}
	if p.known == nil {
		p.known = map[string]backend.Memory{}
	}
	fresh := newCaches(p.rehearsal)
	r := &run{e: e, networks: p.networks, caches: &fresh, ctx: context.Background(), req: req, s: backend.NewScope(p.rehearsal),
		track: tracker{report: func(Progress) {}, start: time.Now()}, rehearsal: true}
	p.rehearsal.Begin(r.ctx)
	_, err = r.picture()
	r.s.Free()
	if err == nil {
		m = p.rehearsal.Memory()
		p.known[key] = m
	}
	return m, err
}

func (p *planner) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed, p.networks, p.rehearsal = true, networks{}, nil
}

// reserve makes room for the run of req, at the cost of the caches where it must.
func (e *Engine) reserve(req Request) error {
	device := e.planner.device
	if device == nil {
		return nil
	}
	m, err := e.planner.memory(e, req)
	if err != nil {
		return err
	}
	rest := m
	rest.Kept -= e.keptOf(req)
	err = device.Reserve(rest)
	var full *backend.MemoryError
	if errors.As(err, &full) && len(e.prompts.entries)+len(e.references.entries) > 0 {
		e.caches.drop()
		err = device.Reserve(m)
	}
	return err
}

// keptOf returns the bytes that the caches hold of req's results.
func (e *Engine) keptOf(req Request) (bytes int64) {
	seen := map[string]bool{}
	add := func(c *cache, key string) {
		if m, ok := c.get(key); ok && !seen[key] {
			seen[key] = true
			bytes += m.Buffer.SizeBytes()
		}
	}
	for _, prompt := range e.prompted(req) {
		if enc, err := e.tokens.Prompt(prompt, e.info.MaxSequenceLength); err == nil {
			add(&e.prompts, promptKey(enc))
		}
	}
	for _, ref := range req.References {
		add(&e.references, ref.PixelsSHA256)
	}
	return bytes
}

// explain adds what would fit to an error that says that req does not.
func (e *Engine) explain(err error, req Request) error {
	var full *backend.MemoryError
	if errors.As(err, &full) {
		return fmt.Errorf("%w; %s", err, e.fits(req, full.Room))
	}
	return err
}

// fits names the largest size of req's proportions that room suffices for.
func (e *Engine) fits(req Request, room int64) string {
	const parts = 32
	size := func(i int) picture.Size {
		return picture.Size{Width: req.Size.Width * i / parts / 16 * 16, Height: req.Size.Height * i / parts / 16 * 16}
	}
	fitting := sort.Search(parts, func(i int) bool {
		smaller := req
		smaller.Size, smaller.Noise = size(i+1), nil
		m, err := e.planner.memory(e, smaller)
		return smaller.Size.Check() == nil && (err != nil || m.Least() > room)
	})
	switch s := size(fitting); {
	case fitting > 0 && s.Check() == nil:
		return fmt.Sprintf("%v would fit", s)
	case len(req.References) > 0:
		return "no smaller size would fit with these references"
	}
	return "no smaller size would fit"
}
