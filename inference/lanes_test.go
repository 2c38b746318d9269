package inference

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// TestPartsPassThroughLanesBesideComputing runs real stages on a device so small that parts of the text encoder, the
// transformer and the VAE pass through two lanes each. The picture must be bit-identical to that of a device that holds
// all parts. The order of the calls of the device must allow each part to be copied while the device computes: on a
// stream of its own, which waits only for the last use of the part that was in the lane before.
func TestPartsPassThroughLanesBesideComputing(t *testing.T) {
	open := func(context func() (cu.Context, error)) *Engine {
		e, err := Open(t.Context(), Options{
			Model: tinyModel(t, "distilled"), Device: DeviceSim, MaxSequenceLength: 16,
			sim: &cuda.Options{Open: context, ChunkBytes: 64 << 10, PartBytes: 256 << 10},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		return e
	}
	const steps = 2
	ask := quick("a fox")
	ask.Steps = new(steps)
	whole := open(cuda.OpenSoftware)
	want := generate(t, whole, ask)
	m, err := whole.planner.memory(whole, whole.shapeOf(resolve(t, whole, ask)))
	if err != nil {
		t.Fatal(err)
	}
	largest := int64(0)
	for _, p := range m.Parts {
		largest = max(largest, p.Bytes)
	}
	room := backend.Lanes*largest + 256<<10
	travelling := map[string]int{}
	for network, placed := range m.Placements(room) {
		for _, stays := range placed.Stays {
			if !stays {
				travelling[network]++
			}
		}
	}
	if travelling["text encoder"] == 0 || travelling["transformer"] == 0 || travelling["VAE"] == 0 {
		t.Fatalf("%v parts do not stay in %d bytes, want some of each network", travelling, room)
	}

	device := &loggedDevice{Context: ptxsim.Open(ptxsim.Device{TotalBytes: m.Activations + m.Kept + room})}
	small := open(func() (cu.Context, error) { return device, nil })
	got, err := small.Generate(t.Context(), resolve(t, small, ask),
		func(p Progress) { device.log(entry{what: stageBegun, stage: p.Stage}) })
	if err != nil {
		t.Fatal(err)
	}
	if !samePicture(got, want) {
		t.Error("the picture differs if parts are loaded in turn")
	}
	checkLanes(t, arrivalsOf(device.entries), map[Stage]int{
		StagePrompt: travelling["text encoder"], StageSteps: steps * travelling["transformer"],
		StageDecode: travelling["VAE"],
	})
}

// checkLanes checks the copies of parts into lanes against the work of the compute stream. Each stage must have copied
// the given number of parts.
func checkLanes(t *testing.T, arrivals []*arrival, want map[Stage]int) {
	t.Helper()
	read, beside := map[Stage]int{}, map[Stage]int{}
	between := 0
	for i, a := range arrivals {
		if a.stream == computeStream {
			t.Errorf("%s: arrival %d comes on the stream that computes", a.stage, i)
		}
		var inLane, other *arrival // the part that was in a's lane before, and the part in the other lane
		for _, b := range arrivals[:i] {
			if overlap := b.at < a.to && a.at < b.to; overlap {
				inLane = b
			} else if b.stage == a.stage && b.first > 0 {
				other = b
			}
		}
		if inLane != nil && a.after < inLane.last {
			t.Errorf("%s: arrival %d waits for operation %d, want %d, the last that reads the part before in its lane", a.stage,
				i, a.after,
				inLane.last)
		}
		if a.first == 0 {
			continue // copied and then not used: decoding does not use the weights of the VAE's encoder
		}
		read[a.stage]++
		switch {
		case other == nil: // the compute stream waits for the first part of a stage
		case a.after < other.last && a.done < other.last:
			beside[a.stage]++
		case a.stage == StageSteps && a.after < other.last:
			between++ // the host had waited for the end of a step before the uploader's goroutine had its turn
		case a.stage != StageDecode: // not all parts of the VAE are used in their order
			t.Errorf("%s: the copy of arrival %d was queued when operation %d was done, and waits for operation %d, "+
				"want it beside the operations that read the part before, of which the last is %d",
				a.stage, i, a.done, a.after, other.last)
		}
	}
	if between > backend.Lanes {
		t.Errorf("%d parts were copied between the steps, want at most one for each lane", between)
	}
	for stage, parts := range want {
		t.Logf("%s: %d parts were copied to lanes and read, %d of them while the part before was read", stage, read[stage],
			beside[stage])
		// The parts of both lanes may still be there from the step before.
		if read[stage] < parts-backend.Lanes || 2*beside[stage] <= read[stage] {
			t.Errorf("%s: %d parts came to lanes, %d of them beside the part before, want %d and most", stage, read[stage],
				beside[stage], parts)
		}
	}
}

// entry is a call of the device, or the beginning of a stage.
type entry struct {
	what   int
	stage  Stage
	stream int
	event  *loggedEvent
	at     cu.DevicePtr
	bytes  int
	params []byte
}

const (
	stageBegun = iota
	launched
	copied  // a copy from the host
	marked  // an event was recorded
	waiting // a stream waits for an event
	passed  // the host has waited for an event
	emptied // the host has waited for a stream
)

// loggedDevice is a software device that logs its calls in their order.
type loggedDevice struct {
	*ptxsim.Context
	mu      sync.Mutex
	entries []entry
	streams int
}

func (d *loggedDevice) log(e entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, e)
}

// tell logs e and calls f, before any other call is logged.
func (d *loggedDevice) tell(e entry, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.entries = append(d.entries, e)
	return f()
}

func (d *loggedDevice) MakeStream() (cu.Stream, error) {
	s, err := d.Context.MakeStream()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.streams++
	return &loggedStream{s, d, d.streams - 1}, err
}

func (d *loggedDevice) MakeEvent(timing bool) (cu.Event, error) {
	e, err := d.Context.MakeEvent(timing)
	return &loggedEvent{e, d}, err
}

func (d *loggedDevice) LoadModule(ptx []byte, options cu.ModuleOptions) (cu.Module, error) {
	m, err := d.Context.LoadModule(ptx, options)
	return loggedModule{m, d}, err
}

type loggedModule struct {
	cu.Module
	device *loggedDevice
}

func (m loggedModule) Function(name string) (cu.Function, error) {
	f, err := m.Module.Function(name)
	return loggedFunction{f, m.device}, err
}

type loggedFunction struct {
	cu.Function
	device *loggedDevice
}

func (f loggedFunction) Launch(grid, block cu.Dim3, sharedBytes int, stream cu.Stream, params []byte) error {
	s := stream.(*loggedStream)
	return f.device.tell(entry{what: launched, stream: s.number, params: slices.Clone(params)}, func() error {
		return f.Function.Launch(grid, block, sharedBytes, s.Stream, params)
	})
}

type loggedStream struct {
	cu.Stream
	device *loggedDevice
	number int
}

func (s *loggedStream) MemcpyHtoDAsync(dst cu.DevicePtr, src []byte) error {
	return s.device.tell(entry{what: copied, stream: s.number, at: dst, bytes: len(src)}, func() error {
		return s.Stream.MemcpyHtoDAsync(dst, src)
	})
}

func (s *loggedStream) Wait(e cu.Event) error {
	event := e.(*loggedEvent)
	return s.device.tell(entry{what: waiting, stream: s.number, event: event}, func() error {
		return s.Stream.Wait(event.Event)
	})
}

func (s *loggedStream) Synchronize() error {
	err := s.Stream.Synchronize()
	s.device.log(entry{what: emptied, stream: s.number})
	return err
}

type loggedEvent struct {
	cu.Event
	device *loggedDevice
}

func (e *loggedEvent) Record(on cu.Stream) error {
	s := on.(*loggedStream)
	return e.device.tell(entry{what: marked, stream: s.number, event: e}, func() error { return e.Event.Record(s.Stream) })
}

func (e *loggedEvent) Synchronize() error {
	err := e.Event.Synchronize()
	e.device.log(entry{what: passed, event: e})
	return err
}

// arrival is the copy of a part into a lane.
type arrival struct {
	stage  Stage
	stream int
	at, to cu.DevicePtr
	// These count work of the compute stream, from 1; 0 means none: the work that the copy waits for, the work that the
	// host knew to be done when the copy was queued, and the first and the last work that reads the part.
	after, done, first, last int
}

const computeStream = 0 // the first stream that the backend creates

// arrivalsOf derives the arrivals from the log.
func arrivalsOf(entries []entry) []*arrival {
	type position struct{ stream, at, compute int } // compute is how much of the compute stream is done at this point
	var list []*arrival
	stage := Stage("")
	issued, waited := map[int]int{}, map[int]int{} // by stream
	marks := map[*loggedEvent]position{}
	done := 0 // the work of the compute stream that the host knows to be done
	here := func(stream int) position {
		if stream == computeStream {
			return position{stream, issued[stream], issued[stream]}
		}
		return position{stream, issued[stream], waited[stream]}
	}
	var begun *arrival // the arrival whose copies follow in the log
	for _, e := range entries {
		switch e.what {
		case stageBegun:
			stage = e.stage
		case launched:
			issued[e.stream]++
			for at := 0; at+8 <= len(e.params); at += 8 {
				p := cu.DevicePtr(binary.LittleEndian.Uint64(e.params[at:]))
				for i := len(list) - 1; i >= 0; i-- {
					if a := list[i]; p >= a.at && p < a.to {
						if a.first == 0 {
							a.first = issued[e.stream]
						}
						a.last = issued[e.stream]
						break
					}
				}
			}
		case waiting:
			waited[e.stream] = max(waited[e.stream], marks[e.event].compute)
			begun = &arrival{stage: stage, stream: e.stream, after: marks[e.event].compute, done: done}
		case copied:
			if e.stream == computeStream {
				break
			}
			switch {
			case begun != nil && begun.to == 0:
				begun.at, begun.to = e.at, e.at
				list = append(list, begun)
			case begun == nil || begun.to != e.at:
				begun = nil
			}
			if begun != nil {
				begun.to += cu.DevicePtr(e.bytes)
			}
		case marked:
			marks[e.event] = here(e.stream)
		case passed:
			done = max(done, marks[e.event].compute)
		case emptied:
			done = max(done, here(e.stream).compute)
		}
	}
	return list
}
