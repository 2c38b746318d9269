package checkpoint

import (
	"context"
	"io/fs"

	"github.com/kleinbild/kleinbild/assets/demo"
)

// Demo is the spec of the model that is embedded in the program: a small model of the real architecture that makes
// simple drawings. The spec of a folder with this name is ./demo.
const Demo = "demo"

// demoName is the demo model's name in pictures and replies.
const demoName = "kleinbild-demo"

// openDemo opens the demo model in the program's memory, without unpacking or copying it.
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
