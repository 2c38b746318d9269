package kernels

import "fmt"

// attentions are the kernels of src/attention.cu and src/attention.sm_90a.cu, by the width of the heads that they are made
// for. As tiles they are m queries of one head, n columns wide.
var attentions = map[int][]tile{
	64: {
		inRegisters("attention_64x64", 64, 64, 2, strict),
		inRegisters("attention_64_any", 64, 64, 1, unaligned),
	},
	128: {
		inRegisters("attention_128x64", 128, 64, 2, strict),
		inRegisters("attention_128x128", 128, 128, 1, strict),
		inRegisters("attention_128_any", 128, 64, 1, unaligned),
		byWarpgroups("attention_wgmma_64", 64, 1, 2),
		byWarpgroups("attention_wgmma_128", 128, 2, 1),
		byWarpgroups("attention_wgmma_128_turns", 128, 2, 1),
	},
	256: {inSharedMemory("attention_256", 256, strict), inSharedMemory("attention_256_any", 256, unaligned)},
	512: {inSharedMemory("attention_512", 512, strict), inSharedMemory("attention_512_any", 512, unaligned)},
}

// attentionKeys is the number of keys in a portion, wgmmaKeys that of sm_90a, where heads are wgmmaWidth wide.
const (
	attentionKeys = 64
	wgmmaKeys     = 128
	wgmmaWidth    = 128
)

// inRegisters keeps queries, keys and values in shared memory, all else in registers.
func inRegisters(name string, width, queries, blocks int, takes alignment) tile {
	return tile{name: name, m: queries, n: width, threads: 2 * queries, blocks: blocks, takes: takes,
		sharedBytes: (queries + 2*attentionKeys) * width * 2}
}

// inSharedMemory keeps queries there, three slices of 64 columns, probabilities, and four numbers a query.
func inSharedMemory(name string, width int, takes alignment) tile {
	const queries = 64
	return tile{name: name, m: queries, n: width, threads: 256, blocks: 1, takes: takes,
		sharedBytes: queries*width*2 + 3*attentionKeys*64*2 + queries*attentionKeys*2 + 4*4*queries}
}

// byWarpgroups keeps queries there, stages buffers of keys and as many of values, and barriers: one for the queries, and
// for each buffer two.
func byWarpgroups(name string, queries, stages, blocks int) tile {
	return tile{name: name, target: sm90a, m: queries, n: wgmmaWidth, threads: 2*queries + 128, blocks: blocks,
		sharedBytes: queries*wgmmaWidth*2 + 2*stages*wgmmaKeys*wgmmaWidth*2 + (1+4*stages)*mbarrierBytes}
}

func attentionTiles(d int) []tile {
	for _, width := range []int{64, 128, 256} {
		if d <= width {
			return attentions[width]
		}
	}
	return attentions[512]
}

// AttentionVariants names the kernels that Attention chooses from for heads of d columns, by Variant, for all targets.
func AttentionVariants(d int) []string { return variants(attentionTiles(d)) }

// AttentionShape describes one attention.
type AttentionShape struct {
	Heads, KVHeads int
	Scale          float32
	// Causal lets query i see keys 0 … i only.
	Causal bool
	// Keys masks all keys from this one on; there is one at least.
	Keys int
}

// Attention computes dst = softmax(scale·q·kᵀ + mask)·v head by head, all BF16: query and dst [m, heads·d], key and value
// [n, kvHeads·d], d being 512 at most; query head h reads key head h·kvHeads/heads.
func (q *Queue) Attention(dst, query, key, value Matrix, s AttentionShape, variant Variant) error {
	const operation = "attention"
	if err := check(operation, dst, query, key, value); err != nil {
		return err
	}
	if err := isBF16(operation, dst, query, key, value); err != nil {
		return err
	}
	if s.Heads < 1 || s.KVHeads < 1 || s.Heads%s.KVHeads != 0 || query.Cols%s.Heads != 0 {
		return fmt.Errorf("%s: %v in %d heads on %d, want divisors of each other and of the columns", operation, query, s.Heads, s.KVHeads)
	}
	d := query.Cols / s.Heads
	if d < 1 || d > 512 || dst.Rows != query.Rows || dst.Cols != query.Cols || key.Cols != s.KVHeads*d || value.Rows != key.Rows || value.Cols != key.Cols {
		return fmt.Errorf("%s: %v by %v and %v into %v, want heads of 512 columns at most and [m %d], twice [n %d], [m %d]",
			operation, query, key, value, dst, query.Cols, s.KVHeads*d, query.Cols)
	}
	if s.Keys < 1 || s.Keys > key.Rows {
		return fmt.Errorf("%s: %d keys of %v, want 1 to %d", operation, s.Keys, key, key.Rows)
	}
	if query.Rows == 0 {
		return nil
	}
	shape := Shape{Operation: operation, Rows: query.Rows, Cols: query.Cols, Depth: s.Keys, Heads: s.Heads, KVHeads: s.KVHeads, Causal: s.Causal}
	have := alignmentOf(dst, d, query, key, value)
	if have == loose {
		have = unaligned
	}
	t, err := q.choose(attentionTiles(d), variant, have, shape)
	if err != nil {
		return err
	}
	q.args.Reset()
	if t.target == sm90a {
		if err := q.attentionTensors(t, query, key, value, s); err != nil {
			return err
		}
		q.matrix(dst)
	} else {
		q.args.Ptr(query.Data).Ptr(key.Data).Ptr(value.Data)
		q.matrix(dst).Int32(int32(query.Stride)).Int32(int32(key.Stride)).Int32(int32(value.Stride))
	}
	q.args.Int32(int32(query.Rows)).Int32(int32(s.Keys)).Int32(int32(s.Heads)).Int32(int32(s.KVHeads)).Int32(int32(d)).
		Int32(truth(s.Causal)).Float32(s.Scale)
	return q.launch(Attention, t.kernel(), ceilDiv(query.Rows, t.m), s.Heads)
}

func (q *Queue) attentionTensors(t tile, query, key, value Matrix, s AttentionShape) error {
	if err := q.tensor(headTensor(query, query.Rows, s.Heads, t.m)); err != nil {
		return err
	}
	if err := q.tensor(headTensor(key, s.Keys, s.KVHeads, wgmmaKeys)); err != nil {
		return err
	}
	return q.tensor(headTensor(value, s.Keys, s.KVHeads, wgmmaKeys))
}
