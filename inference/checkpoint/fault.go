package checkpoint

import (
	"slices"

	"kleinbild/inference/checkpoint/safetensors"
)

// UnreadableError says that one of the model's files is no longer what was opened: it was changed, or its disk was removed.
type UnreadableError = safetensors.UnreadableError

// Changed returns an *UnreadableError if a weight file was written to or cut short since it was opened.
func (c *Checkpoint) Changed() error {
	for _, f := range c.files() {
		if err := f.Changed(); err != nil {
			return err
		}
	}
	return nil
}

// Guard calls f, which reads the checkpoint's tensors on this goroutine or hands on what others met: a page that cannot be
// read makes it fail with an *UnreadableError, see safetensors.Guard.
func (c *Checkpoint) Guard(f func() error) error { return safetensors.Guard(c.files(), f) }

// files lists the weight files, each once though several components may lie in it.
func (c *Checkpoint) files() (list []*safetensors.File) {
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
