package checkpoint

import (
	"context"
	"io/fs"

	"kleinbild/assets/demo"
)

// Demo is the spec of the model that is part of the program: a toy of the real architecture that makes simple drawings. A
// folder of this name is ./demo.
const Demo = "demo"

// demoName is what the demo model calls itself in pictures and replies.
const demoName = "kleinbild-demo"

// openDemo opens the demo model in place: nothing is unpacked or copied.
func openDemo(ctx context.Context) (*Checkpoint, error) {
	f := folder{files: demo.Configs, dir: demoName, weights: demo.Weights}
	c, err := openDiffusers(ctx, f)
	if err != nil {
		return nil, err
	}
	if c.TokenizerFiles, err = fs.Sub(f.files, "tokenizer"); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
