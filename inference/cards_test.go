package inference

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/flux2"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// card is a graphics card with the figures of its maker. The peak of a kind of product is the number of
// multiprocessors × the boost clock × the operations of a multiprocessor in a clock: on GeForce cards 512 for bf16 with
// float32 sums, which is half of the rate with float16 sums, twice that for fp8 with float32 sums, and four times for
// int8. Sources: NVIDIA's papers "Ampere GA102 GPU Architecture", "Ada GPU Architecture" and "RTX Blackwell GPU
// Architecture", whose tables have the same peaks for RTX 3090 (71, 284), RTX 4090 (165, 330, 661), RTX 5070 Ti and RTX
// 5090 (210, 419, 838); the product pages of the others; and the data sheet of the H200 SXM, which states its peaks.
type card struct {
	name      string
	gib       int64   // memory
	bandwidth float64 // bytes a second
	// bf16, fp8 and int8 are operations a second: two for each multiply-add. fp8 is 0 if the card has no such products.
	bf16, fp8, int8 float64
	bus             string // of PCI Express: a key of busRates
}

// geforce returns a card whose peaks follow from its multiprocessors and its clock in MHz.
func geforce(name string, multiprocessors, mhz float64, fp8 bool, gib int64, gbps float64, bus string) card {
	bf16 := multiprocessors * mhz * 1e6 * 512
	c := card{name: name, gib: gib, bandwidth: gbps * 1e9, bf16: bf16, int8: 4 * bf16, bus: bus}
	if fp8 {
		c.fp8 = 2 * bf16
	}
	return c
}

// busRates are the usual rates of copies to a card through PCI Express, in bytes a second.
var busRates = map[string]float64{"4.0 ×16": 24e9, "4.0 ×8": 12e9, "5.0 ×16": 48e9}

var cards = []card{
	geforce("RTX 3060", 28, 1777, false, 12, 360, "4.0 ×16"),
	geforce("RTX 3090", 82, 1695, false, 24, 936, "4.0 ×16"),
	geforce("RTX 4060 Ti, 8 GB", 34, 2535, true, 8, 288, "4.0 ×8"),
	geforce("RTX 4060 Ti, 16 GB", 34, 2535, true, 16, 288, "4.0 ×8"),
	geforce("RTX 4090", 128, 2520, true, 24, 1008, "4.0 ×16"),
	geforce("RTX 5070 Ti", 70, 2452, true, 16, 896, "5.0 ×16"),
	geforce("RTX 5090", 170, 2407, true, 32, 1792, "5.0 ×16"),
	{name: "H200", gib: 141, bandwidth: 4.8e12, bf16: 989e12, fp8: 1979e12, int8: 1979e12, bus: "5.0 ×16"},
}

// full9B returns a spec with the sizes of FLUX.2 [klein] 9B.
func full9B() synthetic.Spec {
	s := synthetic.Full4B()
	s.Transformer = synthetic.NewTransformer(32, 8, 24, 12288)
	s.TextEncoder = synthetic.NewTextEncoder(36, 4096, 32, 8, 12288, 151936)
	return s
}

// counts are what a picture of 1024×1024 pixels in four steps takes at least.
type counts struct {
	// linears are the operations of the products in the transformer's blocks, others all others: two for each
	// multiply-add.
	linears, others float64
	values          float64 // of the weights of those products
	block           float64 // bytes that the transformer's operations read and write in all steps, without weights
	quantised       float64 // bytes that it reads and writes in addition if rows are quantised for its products
	memory          backend.Memory
	steps           int
}

// count counts a picture of a model whose matrices in the transformer's blocks have the given format. The memory is
// planned by the engine.
func count(t *testing.T, spec synthetic.Spec, dtype tensor.DType) counts {
	t.Helper()
	c, err := hollowCheckpoint(spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if dtype != tensor.BF16 {
		c.Transformer.Source = kinds{c.Transformer.Source, transformerKind(dtype)}
	}
	e, err := newEngine(t.Context(), c, Options{Device: DeviceSim, sim: &cuda.Options{Open: func() (cu.Context, error) {
		return ptxsim.Open(ptxsim.Device{}), nil
	}}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	size := picture.Size{Width: 1024, Height: 1024}
	s := e.shapeOf(resolve(t, e, Ask{Prompt: "a fox", Size: &size}))
	m, err := e.planner.memory(e, s)
	if err != nil {
		t.Fatal(err)
	}
	costs, steps, tokens := e.costs(), float64(s.steps), float64(e.Info().MaxSequenceLength+gridOf(size).Tokens())
	r := counts{linears: 2 * steps * tokens * costs.StepToken, memory: m, steps: s.steps, values: costs.StepToken}
	r.others = 2*costs.work(s, e.Info().MaxSequenceLength) - r.linears
	read, inputs := blockValues(e.transformer.Config())
	r.block = steps * tokens * read * 2 // bfloat16
	r.quantised = steps * tokens * inputs * 2
	return r
}

// blockValues returns how many values the operations of all blocks read and write for each token, without weights, and
// how many inputs their products have. Operations that are fused in kernels/SPEED.md count as one. A row that is
// quantised for a product is written and read as one byte for each value, and the widest input is read once more.
func blockValues(c flux2.Config) (read, inputs float64) {
	d, mlp := float64(c.Hidden()), float64(c.MLPHidden())
	double, single := float64(c.DoubleBlocks), float64(c.SingleBlocks)
	norm, qkv, attention, swiglu := 2*d, d+3*d, 3*d+d, d+mlp
	read += double * (norm + qkv + attention + (d + 2*d) + norm + swiglu + (mlp + 2*d)) // residuals are read, too
	read += single * (norm + qkv + attention + swiglu + (d + mlp + 2*d))                // one product after both
	return read, double*(3*d+mlp) + single*(2*d+mlp)
}

// bound is a limit of a card, and the least seconds that a picture takes for it.
type bound struct {
	name    string
	seconds float64
}

// bounds returns the limits of a card: the tensor cores at the peak of the maker, the memory at its bandwidth, and PCI
// Express. All three can work at the same time, so that the longest binds, and no program can be faster.
func (c counts) bounds(on card, dtype tensor.DType) (tensorCores, memory, bus bound) {
	rate := map[tensor.DType]float64{tensor.BF16: on.bf16, tensor.F8E4M3: on.fp8, tensor.I8: on.int8}[dtype]
	bytes := c.block + float64(c.memory.Weights()) + float64(c.steps-1)*float64(network(c.memory, "transformer"))
	switch {
	case rate == 0: // weights are widened before each product: written as bf16 and read again
		rate = on.bf16
		bytes += 4 * c.values * float64(c.steps)
	case dtype != tensor.BF16:
		bytes += c.quantised
	}
	return bound{"tensor cores", c.linears/rate + c.others/on.bf16}, bound{"memory", bytes / on.bandwidth},
		bound{"PCIe", float64(c.copied(on)) / busRates[on.bus]}
}

// network returns the bytes of a network's weights.
func network(m backend.Memory, name string) (sum int64) {
	for _, p := range m.Parts {
		if p.Network == name {
			sum += p.Bytes
		}
	}
	return sum
}

// driverBytes is what a driver takes of a card's memory, about.
const driverBytes = 500_000_000

// copied returns the bytes of weights that pass to a card for a picture after the first one, with another prompt, as
// the engine places them: parts in lanes pass in each use, and networks that do not fit together pass once.
func (c counts) copied(on card) (bytes int64) {
	room := on.gib<<30 - driverBytes - c.memory.Activations - c.memory.Kept
	placements := c.memory.Placements(room)
	index := map[string]int{}
	var here int64
	for _, p := range c.memory.Parts {
		stays := placements[p.Network].Stays[index[p.Network]]
		index[p.Network]++
		uses := int64(1)
		if p.Network == "transformer" {
			uses = int64(c.steps)
		}
		if stays {
			here += p.Bytes
		} else {
			bytes += uses * p.Bytes
		}
	}
	for _, p := range placements {
		here += backend.Lanes * p.LaneBytes
	}
	return bytes + max(0, here-room)
}

// TestCountedCards compares the tables of docs/speed.md for graphics cards with the counts. With KLEINBILD_UPDATE=1 it
// writes them.
func TestCountedCards(t *testing.T) {
	page := filepath.Join("..", "docs", "speed.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- counted cards -->\n", "<!-- end of counted cards -->\n"
	before, rest, found := strings.Cut(string(text), begin)
	was, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s has no section %q", page, strings.TrimSpace(begin))
	}
	now := countedCards(t)
	switch {
	case now == was:
	case os.Getenv("KLEINBILD_UPDATE") != "":
		if err := os.WriteFile(page, []byte(before+begin+now+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not have the counts of this version, which KLEINBILD_UPDATE=1 writes:\n%s", page, now)
	}
}

// countedCards returns the tables in Markdown.
func countedCards(t *testing.T) string {
	var b strings.Builder
	b.WriteString("\n| card | memory, GiB | GB/s | PCIe | bf16, TFLOP/s | fp8 | int8 |\n|---|---|---|---|---|---|---|\n")
	for _, c := range cards {
		fp8 := "none"
		if c.fp8 > 0 {
			fp8 = fmt.Sprintf("%.0f", c.fp8*1e-12)
		}
		fmt.Fprintf(&b, "| %s | %d | %.0f | %s | %.0f | %s | %.0f |\n",
			c.name, c.gib, c.bandwidth*1e-9, c.bus, c.bf16*1e-12, fp8, c.int8*1e-12)
	}
	formats := []tensor.DType{tensor.BF16, tensor.F8E4M3, tensor.I8}
	for _, model := range []struct {
		name string
		spec synthetic.Spec
	}{{"4B", synthetic.Full4B()}, {"9B", full9B()}} {
		byFormat := map[tensor.DType]counts{}
		for _, f := range formats {
			byFormat[f] = count(t, model.spec, f)
		}
		bf16, int8 := byFormat[tensor.BF16], byFormat[tensor.I8]
		fmt.Fprintf(&b, "\n%s: %.0f TFLOP, of which %.0f are products of the transformer's blocks. Weights take %.1f GB, "+
			"with\nblocks in 8 bits %.1f GB; working memory takes %.1f GB.\n",
			model.name, (bf16.linears+bf16.others)*1e-12, bf16.linears*1e-12, float64(bf16.memory.Weights())*1e-9,
			float64(int8.memory.Weights())*1e-9, float64(bf16.memory.Activations)*1e-9)
		fmt.Fprintf(&b, "\n| %s on | bf16, s | fp8, s | int8, s | int8 of bf16's time | memory in int8, s | "+
			"copied for a picture, bf16 | 8 bits |\n|---|---|---|---|---|---|---|---|\n", model.name)
		for _, c := range cards {
			row := []string{c.name}
			var seconds []float64
			for _, f := range formats {
				tensorCores, memory, bus := byFormat[f].bounds(c, f)
				binds := slices.MaxFunc([]bound{tensorCores, memory, bus},
					func(a, b bound) int { return cmp.Compare(a.seconds, b.seconds) })
				seconds = append(seconds, binds.seconds)
				if binds == tensorCores {
					row = append(row, twoDigits(binds.seconds))
				} else {
					row = append(row, fmt.Sprintf("%s (%s)", twoDigits(binds.seconds), binds.name))
				}
			}
			_, memory, _ := int8.bounds(c, tensor.I8)
			row = append(row, fmt.Sprintf("%.2f", seconds[2]/seconds[0]), twoDigits(memory.seconds))
			for _, counted := range []counts{bf16, int8} {
				bytes, cell := float64(counted.copied(c)), "none"
				if bytes > 0 {
					cell = fmt.Sprintf("%.1f GB, %s s", bytes*1e-9, twoDigits(bytes/busRates[c.bus]))
				}
				row = append(row, cell)
			}
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
	}
	b.WriteString("\n")
	return b.String()
}

// twoDigits returns a number with two digits that count.
func twoDigits(v float64) string {
	if v < 1 {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.1f", v)
}
