package checkpoint

import (
	"slices"

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
)

// UnreadableError is the error for a weight file that was changed after Open, or whose disk is gone.
type UnreadableError = mapped.UnreadableError

// Changed returns an *UnreadableError if a weight file was written to or truncated after Open (see
// mapped.File.Changed).
func (c *Checkpoint) Changed() error {
	for _, f := range c.files() {
		if err := f.Changed(); err != nil {
			return err
		}
	}
	return nil
}

// Guard calls f, which reads tensors of the checkpoint, and returns its error, or an *UnreadableError if a page of a
// weight file cannot be read. See mapped.Guard for faults on other goroutines.
func (c *Checkpoint) Guard(f func() error) error { return mapped.Guard(c.files(), f) }

// files returns the weight files. A file that holds several components occurs once.
func (c *Checkpoint) files() (list []*mapped.File) {
	for _, p := range c.components() {
		if p.set == nil {
			continue
		}
		for _, f := range p.set.Files() {
			if !slices.Contains(list, f) {
				list = append(list, f)
			}
		}
	}
	return list
}
