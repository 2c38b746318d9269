package cuda

import (
	"fmt"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// circle is a network whose parts, of partBytes each, are used one after the other in every step. The software device
// has room for some of them beside the activations.
type circle struct {
	*Backend
	device *ptxsim.Context
	ws     []backend.Weight
	x, y   backend.Matrix
}

const (
	circleParts = 8
	partBytes   = 1 << 15
	arenaBytes  = 1 << 16
)

func newCircle(t *testing.T, room int) *circle {
	t.Helper()
	c := &circle{device: ptxsim.Open(ptxsim.Device{TotalBytes: arenaBytes + int64(room)*partBytes})}
	b, err := New(
		Options{Open: func() (cu.Context, error) { return c.device, nil }, ChunkBytes: chunkBytes, PartBytes: partBytes},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	c.Backend = b
	b.Network("transformer")
	for i := range circleParts {
		c.ws = append(c.ws, bf16Weight(t, b, fmt.Sprint("w", i), float32(i+1), 16, 1<<10))
	}
	b.Begin(t.Context())
	if err := b.Reserve(backend.Memory{Parts: b.Memory().Parts, Activations: arenaBytes}); err != nil {
		t.Fatal(err)
	}
	c.x, c.y = upload(b, 1, 1<<10, 1.0/(1<<10)), upload(b, 1, 16, 0)
	return c
}

// use adds the result of part i to y.
func (c *circle) use(i int) {
	c.Linear(c.y, c.x, c.ws[i], backend.Epilogue{Add: true})
}

// stepSum is the sum that a step adds to y.
const stepSum = circleParts * (circleParts + 1) / 2

// TestLanesFillBesideComputing: on a device that executes an operation only when somebody waits for it, the next part
// that passes through a lane arrives before the operation that uses the current part has run.
func TestLanesFillBesideComputing(t *testing.T) {
	c := newCircle(t, 5)
	const steps = 3
	passing, queued := 0, int64(0)
	c.use(0)
	if err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	start := c.device.Steps()
	c.use(0)
	if err := c.Sync(); err != nil {
		t.Fatal(err)
	}
	eachTakes := c.device.Steps() - start // instructions
	start += eachTakes
	for step := range steps {
		before := c.drops
		for i := range c.ws {
			c.use(i)
			c.flush()
			var next *part
			for p := range c.after(c.ws[i].(*weight).part) {
				if p.travels {
					next = p
					break
				}
			}
			if next == nil || next.at == 0 {
				t.Fatalf("step %d, part %d: the next part that passes through a lane was not sent for", step, i)
			}
			next.wait()
			if ran := (c.device.Steps() - start) / eachTakes; ran > queued {
				t.Errorf(
					"step %d, part %d: %s arrived when %d operations had run, want at most the %d before", step, i,
					next.weights[0].Name, ran, queued,
				)
			}
			queued++
		}
		passing = int(c.drops - before)
	}
	wantValues(t, c.Backend, c.y, steps*stepSum+2)
	if passing != 5 { // two lanes and three parts that stay
		t.Errorf("%d parts passed through lanes in a step, want 5", passing)
	}
	if peak := c.device.PeakBytes(); peak > arenaBytes+5*partBytes {
		t.Errorf("%d bytes held, want at most %d", peak, arenaBytes+5*partBytes)
	}
}

// TestLanesOutOfOrder: operations that use parts in another order than the network's, or two parts, get correct values.
func TestLanesOutOfOrder(t *testing.T) {
	c := newCircle(t, 4)
	want := float32(0)
	for _, i := range []int{0, 7, 3, 3, 1, 6, 0, 2, 5, 4, 7, 0, 1, 1, 2} {
		c.use(i)
		want += float32(i + 1)
	}
	wantValues(t, c.Backend, c.y, want)
	z := c.Alloc(1, 16, tensor.BF16)
	for i := range c.ws {
		c.SwiGLU(z, c.x, c.ws[i], c.ws[(i+3)%circleParts])
	}
	if err := c.Sync(); err != nil {
		t.Fatal(err)
	}
}

// TestAnotherProgramTakesMemory: if another program allocates memory before or during the copies, fewer parts stay, and
// the values are the same.
func TestAnotherProgramTakesMemory(t *testing.T) {
	for _, row := range []struct{ room, taken, beforeStep int }{
		{5, 2, 0}, {5, 3, 0}, {5, 4, 0}, {circleParts, 3, 0}, {5, 1, 1},
	} {
		t.Run(fmt.Sprintf("%d of %d before step %d", row.taken, row.room, row.beforeStep), func(t *testing.T) {
			c := newCircle(t, row.room)
			const steps = 2
			for step := range steps {
				if step == row.beforeStep {
					if step > 0 { // it can only take what is free
						c.drop(c.parts[len(c.parts)-1])
						for _, p := range c.parts {
							if p.at != 0 && c.holding(p) == nil {
								c.drop(p)
								break
							}
						}
					}
					if _, err := c.device.MemAlloc(int64(row.taken) * partBytes); err != nil {
						t.Fatal(err)
					}
				}
				for i := range c.ws {
					c.use(i)
				}
			}
			wantValues(t, c.Backend, c.y, steps*stepSum)
		})
	}
}
