package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"

	"kleinbild/inference/checkpoint/safetensors"
)

// Of each weight file, sampleCount blocks of sampleBytes, spread evenly, enter the digest: the distilled and the base model
// have the same headers and the same sizes in single files, and only their values differ.
const (
	sampleCount = 16
	sampleBytes = 4096
)

// digest identifies a checkpoint without reading gigabytes: it is the SHA-256, in hex, over the configs, and over the header,
// the size and 16 evenly spread blocks of 4 KiB of each weight file. File names and the tokenizer do not enter. Checkpoints that
// differ in a few weights only may share a digest: it tells models apart, it does not verify them.
func digest(c *Checkpoint) (string, error) {
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
			add(f.Header())
			addInt(h, f.SizeBytes())
			if err := addSamples(h, f); err != nil {
				return "", fmt.Errorf("checkpoint: digest: %w", err)
			}
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// addSamples reads through the file rather than the mapping: one read of a block instead of read-ahead around a fault.
func addSamples(h hash.Hash, f *safetensors.File) error {
	r, err := f.Reopen()
	if err != nil {
		return err
	}
	defer r.Close()
	for i := range int64(sampleCount) {
		at := max(f.SizeBytes()-sampleBytes, 0) * i / (sampleCount - 1)
		if _, err := io.Copy(h, io.NewSectionReader(r, at, sampleBytes)); err != nil {
			return err
		}
	}
	return nil
}

func addInt(h hash.Hash, n int64) {
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
}
