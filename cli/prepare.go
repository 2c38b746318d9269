package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// batch is the set of pictures that one call of generate makes. They differ only in their seeds. Everything is checked
// before the model is opened.
type batch struct {
	options inference.Options
	remote  Remote // replaces options if it has an address
	ask     inference.Ask
	checked inference.Checked // of ask
	request inference.Request // set when the model is open; the seed changes from picture to picture
	like    *picture.Metadata // the metadata of the picture of --like, nil if there is none
	seeds   []uint64          // one for each picture
	output  string            // the value of --output
	planned map[uint64]string // in a list, the file of each seed; it replaces output
	notes   []string          // printed to standard error when all checks have passed
	// names returns the adapters that can be named.
	names func(context.Context) (inference.LoRANames, error)
}

// checkRemote returns an error if a flag about the model on this computer is given together with --server, or if the
// token and the prompt would come from the same place.
func (c *generateCommand) checkRemote() error {
	for _, flag := range []struct {
		name  string
		given bool
	}{
		{"--model", c.Model != ""}, {"--vae", c.VAE != ""}, {"--variant", c.Variant != ""},
		{"--device", c.Device != string(inference.DeviceAuto)},
		{"--precision", c.Precision != ""}, {"--max-sequence-length", c.MaxSequenceLength != nil},
		{"--noise", c.Noise != ""},
	} {
		if c.Server != "" && flag.given {
			return usagef("--server and %s exclude each other: the other computer has a model and a device of its own",
				flag.name)
		}
	}
	if c.TokenFile == standardInput && c.Prompt != nil && *c.Prompt == standardInput {
		return usagef("--token-file - and --prompt - would both read standard input, want one of them there")
	}
	return nil
}

// prepare checks the arguments and reads the references.
func (c *generateCommand) prepare(ctx context.Context, s Streams) (*batch, error) {
	b, err := c.prepareEngine(s)
	if err != nil {
		return nil, err
	}
	if err := c.checkStandardOutput(unwrap(s.Out)); err != nil {
		return nil, err
	}
	if err := c.request(ctx, b, s.In); err != nil {
		return nil, c.withOrigin(err)
	}
	if b.checked, err = b.checked.Read(ctx, inference.ReadAtOnce); err != nil {
		return nil, c.withOrigin(err)
	}
	if err := c.checkPreview(b); err != nil {
		return nil, err
	}
	if c.Overwrite {
		return b, nil
	}
	return b, c.checkOverwriting(b)
}

// prepareEngine checks the flags that say which engine makes the pictures, and reads the picture of --like, which may
// decide about it.
func (c *generateCommand) prepareEngine(s Streams) (b *batch, err error) {
	b = &batch{output: c.Output}
	if err := c.checkRemote(); err != nil {
		return nil, err
	}
	if err := c.readLike(b); err != nil {
		return nil, err
	}
	if b.remote, err = c.remoteFlags.remote(s); err != nil {
		return nil, err
	}
	b.names = b.loraNames
	if b.remote.Address == "" {
		b.options, err = c.modelFlags.options()
	}
	return b, err
}

// request reads what the flags ask for, and compares it with its limits. It reads no picture. The error may be a
// FieldError.
func (c *generateCommand) request(ctx context.Context, b *batch, in io.Reader) (err error) {
	if c.Count < 1 || c.Count > maxCount {
		return usagef("--count %d, want %s", c.Count, countRange)
	}
	if b.ask, err = c.ask(b, in); err != nil {
		return err
	}
	b.ask.Preview = c.Preview != ""
	if err := c.checkRemove(b.ask.Edit); err != nil {
		return err
	}
	if err := c.loras(ctx, b, &b.ask); err != nil {
		return err
	}
	if b.checked, err = b.ask.Check(); err != nil {
		return err
	}
	b.seeds = nil
	for i := range uint64(c.Count) {
		b.seeds = append(b.seeds, b.checked.Seed()+i)
	}
	return nil
}

// readLike reads the metadata of the picture of --like. Its precision, variant and number of text tokens replace the
// flags for them that are not given.
func (c *generateCommand) readLike(b *batch) error {
	if c.Like == "" {
		return nil
	}
	meta, err := picture.ReadMetadataFile(c.Like)
	if errors.Is(err, picture.ErrNoMetadata) {
		if origin, other := picture.ReadOriginFile(c.Like); other == nil {
			return fmt.Errorf("%w: it says how %s made it, which kleinbild info shows", err, origin.Program)
		}
	}
	if err != nil {
		return err
	}
	b.like = &meta
	if c.Precision == "" {
		c.Precision = meta.Precision
	}
	if c.Variant == "" {
		c.Variant = meta.Variant
	}
	if c.MaxSequenceLength == nil && meta.MaxSequenceLength != 0 {
		c.MaxSequenceLength = &meta.MaxSequenceLength
	}
	return nil
}

// resolve makes the request for the model that info describes.
func (c *generateCommand) resolve(b *batch, info inference.Info) (err error) {
	if b.request, err = b.checked.Resolve(info); err != nil {
		return c.withOrigin(err)
	}
	if b.like == nil || c.Aspect != "" || c.Size != "" || c.changesSize() {
		return nil
	}
	// repeat takes a size beyond the limits for the size of image 1. If it is not that, the picture cannot be repeated.
	if want := sizeOf(*b.like); b.request.PictureSize() != want {
		_, err := inference.Ask{Size: &want}.Check()
		return c.withOrigin(err)
	}
	return nil
}

// checkOverwriting returns an error if an output file is also a reference or the mask, which --overwrite allows.
func (c *generateCommand) checkOverwriting(b *batch) error {
	for _, seed := range b.seeds {
		output, exists := b.outputFor(seed)
		for _, source := range b.checked.References() {
			if r, ok := source.(inference.Reference); ok && exists == picture.Replace && sameFile(r.Path, output) {
				return usagef("output %s is also a reference picture; it is not overwritten without --overwrite", output)
			}
		}
		if exists == picture.Replace && (c.Mask != "" && sameFile(c.Mask, output) || c.isEarlierMask(b, output)) {
			return usagef("output %s is also the mask; it is not overwritten without --overwrite", output)
		}
	}
	return nil
}

// preparations returns how each reference was changed for a model whose native pictures have native × native pixels.
func (b *batch) preparations(native int) (list []picture.Preparation) {
	for _, r := range b.request.References() {
		list = append(list, r.Preparation(native))
	}
	return list
}

// compare prints a note for each difference because of which the new picture may differ from that of --like.
func (b *batch) compare(w io.Writer, info inference.Info) {
	if b.like == nil {
		return
	}
	for _, row := range []struct{ what, then, now string }{
		{"model", b.like.Model + " " + b.like.ModelDigest, info.Model + " " + info.Digest},
		{"device", b.like.Device, info.Device},
		{"version", b.like.Version, Version},
	} {
		if row.then != row.now {
			fmt.Fprintf(w, "note: made with %s %s, now %s: the picture may differ\n", row.what, row.then, row.now)
		}
	}
}
