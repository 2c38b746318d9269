package kernels

import "fmt"

// attentionKernel is one kernel of src/attention.cu: for heads up to width, a block takes queries queries of one.
type attentionKernel struct {
	name           string
	width, queries int
	threads        int
	any            bool
}

var attentions = []attentionKernel{
	{name: "attention_64x64", width: 64, queries: 64, threads: 128},
	{name: "attention_64_any", width: 64, queries: 64, threads: 128, any: true},
	{name: "attention_128x64", width: 128, queries: 64, threads: 128},
	{name: "attention_128x128", width: 128, queries: 128, threads: 256},
	{name: "attention_128_any", width: 128, queries: 64, threads: 128, any: true},
	{name: "attention_256", width: 256, queries: 64, threads: 256},
	{name: "attention_256_any", width: 256, queries: 64, threads: 256, any: true},
	{name: "attention_512", width: 512, queries: 64, threads: 256},
	{name: "attention_512_any", width: 512, queries: 64, threads: 256, any: true},
}

// attentionKeys is the number of keys in a portion.
const attentionKeys = 64

func (a attentionKernel) kernel() kernel {
	k := kernel{name: a.name, threads: a.threads}
	if a.width <= 128 {
		k.sharedBytes = (a.queries + 2*attentionKeys) * a.width * 2
	} else {
		// Queries, three slices of 64 columns, probabilities, and four numbers a query.
		k.sharedBytes = a.queries*a.width*2 + 3*attentionKeys*64*2 + a.queries*attentionKeys*2 + 4*4*a.queries
	}
	return k
}

func attentionKernels() []kernel {
	all := make([]kernel, len(attentions))
	for i, a := range attentions {
		all[i] = a.kernel()
	}
	return all
}

// AttentionVariants names the kernels that Attention chooses from for aligned heads of d columns, by Variant.
func AttentionVariants(d int) []string {
	var names []string
	for _, a := range attentions {
		if !a.any && a.fits(d) {
			names = append(names, a.name)
		}
	}
	return names
}

// fits says whether a is made for heads of d columns, not for wider ones.
func (a attentionKernel) fits(d int) bool {
	switch {
	case d <= 64:
		return a.width == 64
	case d <= 128:
		return a.width == 128
	case d <= 256:
		return a.width == 256
	}
	return a.width == 512 && d <= 512
}

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
	k, err := q.attentionFor(d, d%8 != 0 || !aligned(dst, query, key, value), query.Rows, s.Heads, variant)
	if err != nil {
		return err
	}
	q.args.Reset().Ptr(query.Data).Ptr(key.Data).Ptr(value.Data)
	q.matrix(dst).Int32(int32(query.Stride)).Int32(int32(key.Stride)).Int32(int32(value.Stride)).Int32(int32(query.Rows)).Int32(int32(s.Keys)).
		Int32(int32(s.Heads)).Int32(int32(s.KVHeads)).Int32(int32(d)).Int32(truth(s.Causal)).Float32(s.Scale)
	return q.launch(Attention, k.kernel(), ceilDiv(query.Rows, k.queries), s.Heads)
}

// attentionFor returns the kernel that variant names, or the one with most queries a block that still fills the card.
func (q *Queue) attentionFor(d int, any bool, rows, heads int, variant Variant) (attentionKernel, error) {
	var found attentionKernel
	count := Variant(0)
	for _, a := range attentions {
		if !a.fits(d) || a.any != any {
			continue
		}
		if count == 0 || variant == count || variant == Auto && ceilDiv(rows, a.queries)*heads >= 2*q.set.ctx.Device().SMs {
			found = a
		}
		count++
	}
	if !any && (variant < Auto || variant >= count) {
		return found, fmt.Errorf("attention: variant %d, want 0 to %d", variant, count-1)
	}
	return found, nil
}
