package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
)

// digest returns a digest that identifies a checkpoint without reading gigabytes: the SHA-256, in hex, of the configs,
// and of the header, the size and 16 evenly spread blocks of 4 KiB of each weight file. File names and the tokenizer do
// not change it. It tells models apart but does not verify them: checkpoints that differ in only a few weights may have
// the same digest.
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
	if c.Index.KV {
		add([]byte("kv"))
	}
	addInt(h, int64(c.Index.MaxSequenceLength))
	add(c.SchedulerConfig)
	seen := map[*mapped.File]bool{}
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
