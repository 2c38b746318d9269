package cuda

import (
	"errors"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/kernels/cu"
)

// lane is memory for parts that do not stay on the device: one after the other is copied into it.
type lane struct {
	at cu.DevicePtr
	// part is in the lane or on its way, nil if none is. came is the backend's clock when its copy was requested.
	part *part
	came int64
	// passed is recorded behind the last operation that reads the lane's previous part.
	passed cu.Event
}

// lanes are the lanes of one network, each of so many bytes.
type lanes struct {
	bytes int64
	lane  [backend.Lanes]lane
	open  bool // all lanes have memory
}

// holding returns the lane that holds p, nil if p has memory of its own.
func (b *Backend) holding(p *part) *lane {
	if l := b.lanes[p.network]; l != nil {
		for i := range l.lane {
			if l.lane[i].part == p {
				return &l.lane[i]
			}
		}
	}
	return nil
}

// place decides for each network which parts stay on the device and which pass through lanes. It frees the lanes and
// the parts that the last decision had placed otherwise.
func (b *Backend) place() error {
	room, _, err := b.available()
	if err != nil {
		return err
	}
	placements := b.Memory().Placements(room - b.dev.size - b.planned.Kept)
	counted := map[string]int{} // the parts of each network so far: p's index in its Stays
	for _, p := range b.parts {
		if len(p.weights) == 0 {
			continue
		}
		placed := placements[p.network]
		if b.noLanes[p.network] {
			placed.LaneBytes = 0
		}
		stays := placed.LaneBytes == 0 || placed.Stays[counted[p.network]]
		counted[p.network]++
		if b.lanes[p.network] != nil && (p.travels == stays || b.laneBytes[p.network] != placed.LaneBytes) {
			if err := b.closeLanes(p.network); err != nil {
				return err
			}
		}
		if p.travels = !stays; p.travels && p.at != 0 && b.holding(p) == nil {
			b.drop(p)
		}
		b.laneBytes[p.network] = placed.LaneBytes
	}
	b.misplaced = false
	return b.err
}

// openLanes allocates the lanes of a network, if necessary by evicting other weights. If there is no room for them, the
// parts of the network come one at a time.
func (b *Backend) openLanes(network string) (*lanes, error) {
	if l := b.lanes[network]; l != nil {
		return l, nil
	}
	l := &lanes{bytes: b.laneBytes[network]}
	b.lanes[network] = l
	for i := range l.lane {
		var err error
		if l.lane[i].passed, err = b.dev.ctx.MakeEvent(false); err == nil {
			l.lane[i].at, err = b.allocate(l.bytes, network)
		}
		if err == nil {
			b.dev.held.Add(l.bytes)
			continue
		}
		if closed := b.closeLanes(network); closed != nil || !errors.Is(err, cu.ErrOutOfMemory) {
			return nil, errors.Join(err, closed)
		}
		b.noLanes[network], b.laneBytes[network] = true, 0
		for _, p := range b.parts {
			if p.network == network {
				p.travels = false
			}
		}
		return nil, nil
	}
	l.open = true
	return l, nil
}

// closeLanes waits for the copies into a network's lanes and frees the lanes.
func (b *Backend) closeLanes(network string) error {
	l := b.lanes[network]
	delete(b.lanes, network)
	b.flush()
	var errs []error
	for i := range l.lane {
		if p := l.lane[i].part; p != nil {
			p.wait()
			p.leave()
			b.drops++
		}
		if l.lane[i].at != 0 {
			b.dev.held.Add(-l.bytes)
			errs = append(errs, b.dev.ctx.MemFree(l.lane[i].at))
		}
		if l.lane[i].passed != nil {
			errs = append(errs, l.lane[i].passed.Destroy())
		}
	}
	return errors.Join(errs...)
}

// vacate returns an empty lane for a part that is copied behind the operations queued so far, or nil if there is none.
// It empties the lane whose part was used the longest time ago, among those whose part has been used since it came and
// is not needed by the current operation. If urgent, because an operation waits for the new part, it also empties a
// lane whose part has not been used.
func (b *Backend) vacate(l *lanes, urgent bool) (*lane, error) {
	if l == nil {
		return nil, nil
	}
	var best *lane
	for i := range l.lane {
		lane := &l.lane[i]
		p := lane.part
		if p == nil {
			best = lane
			break
		}
		if p.used < b.clock && (urgent || p.used >= lane.came) && (best == nil || p.used < best.part.used) {
			best = lane
		}
	}
	if best == nil {
		return nil, nil
	}
	if best.part != nil {
		b.drop(best.part)
	}
	b.flush()
	if b.err != nil {
		return nil, b.err
	}
	return best, best.passed.Record(b.dev.compute)
}

// inUse says whether the operation at a time of the backend's clock needs a part in one of the lanes.
func (l *lanes) inUse(clock int64) bool {
	for i := range l.lane {
		if p := l.lane[i].part; p != nil && p.used >= clock {
			return true
		}
	}
	return false
}
