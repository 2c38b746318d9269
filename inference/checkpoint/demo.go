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

// demoFolder returns the folder of the demo model in the program's memory.
func demoFolder() folder {
	return folder{files: demo.Configs, dir: demoName, weights: demo.Weights}
}

// openDemo opens the demo model, without unpacking or copying it.
func openDemo(ctx context.Context) (*Checkpoint, error) {
	f := demoFolder()
	c, err := openDiffusers(ctx, f)
	if err != nil {
		return nil, err
	}
	if err := c.useDemoTokenizer(f); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// useDemoTokenizer sets the demo model's tokenizer.
func (c *Checkpoint) useDemoTokenizer(f folder) (err error) {
	c.Tokenizer = f.path("tokenizer")
	c.TokenizerFiles, err = fs.Sub(f.files, "tokenizer")
	return err
}

// demoLoRA is an adapter for the demo model that is embedded in the program. Its path names no file.
var demoLoRA = NamedLoRA{Name: "demo-dusk", Path: "demo:demo-dusk"}

// EmbeddedLoRA returns the contents of the embedded adapter with a path that LoRAs returns; ok is false for the path of
// a file.
func EmbeddedLoRA(path string) (contents []byte, ok bool) { return demo.Dusk, path == demoLoRA.Path }
