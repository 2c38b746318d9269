package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"kleinbild/inference/checkpoint/safetensors"
)

// digest identifies a checkpoint without reading gigabytes: it is the SHA-256, in hex, over the configs, and over the header,
// the size and 16 evenly spread blocks of 4 KiB of each weight file. File names and the tokenizer do not enter. Checkpoints that
// differ in a few weights only may share a digest: it tells models apart, it does not verify them.
func digest(ctx context.Context, c *Checkpoint) (string, error) {
	h := sha256.New()
	add := func(b []byte) {
		addInt(h, int64(len(b)))
		h.Write(b)
	}
	add([]byte(c.Layout))
	if d := c.Index.IsDistilled; d != nil {
		if *d {
			add([]byte("distilled"))
		} else {
			add([]byte("base"))
		}
	}
	addInt(h, int64(c.Index.MaxSequenceLength))
	add(c.SchedulerConfig)
	seen := map[*safetensors.File]bool{}
	for _, p := range c.components() {
		add(p.ConfigJSON)
		for _, f := range p.set.Files() {
			if seen[f] { // an all-in-one checkpoint
				continue
			}
			seen[f] = true
			add([]byte(f.Header()))
			addInt(h, f.SizeBytes())
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			samples, err := f.Samples()
			if err != nil {
				return "", fmt.Errorf("checkpoint: digest: %w", err)
			}
			h.Write(samples)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func addInt(h hash.Hash, n int64) {
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}
