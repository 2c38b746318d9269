package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

type upscaleCommand struct {
	Files     []string `arg:"" name:"file" help:"A picture to enlarge. May be given several times."`
	Output    string   `short:"o" placeholder:"FILE" help:"${upscale_output_help}"`
	Scale     int      `placeholder:"N" help:"${scale_help}"`
	Model     string   `short:"m" placeholder:"UPSCALER" help:"${upscaler_help}"`
	Device    string   `default:"auto" placeholder:"NAME" help:"${device_help}"`
	Precision string   `default:"auto" enum:"auto,float32,bf16" help:"auto (default), float32 or bf16."`
	JSON      bool     `name:"json" help:"Print a JSON object for each picture instead of its path."`
	refineFlags
}

// enlargement is a picture to enlarge.
type enlargement struct {
	from   string
	to     string // "" until the scale is known
	exists picture.OnExist
}

// upscaleReport is the JSON for an enlarged picture.
type upscaleReport struct {
	Path      string  `json:"path"`
	PathBytes []byte  `json:"path_base64,omitempty"`
	Width     int     `json:"width"`
	Height    int     `json:"height"`
	Upscaler  string  `json:"upscaler"`
	SHA256    string  `json:"upscaler_sha256"`
	Seconds   float64 `json:"seconds"`
}

func (c upscaleCommand) Run(ctx context.Context, s Streams) error {
	if c.Scale != 0 && (c.Scale < 2 || c.Scale > 4) {
		return usagef("--scale %d, want 2, 3 or 4", c.Scale)
	}
	device, err := inference.ParseDevice(c.Device)
	if err != nil {
		return usageError{err}
	}
	how, err := c.refineFlags.asked(s)
	if err != nil {
		return err
	}
	list, err := c.enlargements()
	if err != nil {
		return err
	}
	upscaler, err := inference.OpenUpscaler(ctx, inference.UpscalerOptions{
		Model: c.Model, Device: device, Precision: inference.Precision(c.Precision),
	})
	var none *inference.NoUpscalerError
	if errors.As(err, &none) && none.Name != "" {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	defer upscaler.Close()
	info := upscaler.Info()
	for _, notice := range info.Notices {
		fmt.Fprintln(s.Err, "note:", notice)
	}
	fmt.Fprintf(s.Err, "%s (%s, %d times) on %s, %s\n",
		info.Name, info.Architecture, info.Scale, info.Device, info.Precision)
	model, err := c.openRefiner(ctx, s, how, device, inference.Precision(c.Precision))
	if err != nil {
		return err
	}
	if model != nil {
		defer model.engine.Close()
	}
	failed := 0
	for i, e := range list {
		err := c.enlarge(ctx, s, upscaler, model, e, fmt.Sprintf("picture %d/%d", i+1, len(list)))
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && len(list) == 1:
			return err
		case err != nil:
			failed++
			fmt.Fprintf(s.Err, "%s: %s\n", e.from, oneLine(err))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d pictures could not be enlarged", failed, len(list))
	}
	return nil
}

// enlargements returns the pictures with the files that are written. It checks what does not depend on the pictures.
func (c upscaleCommand) enlargements() (list []enlargement, err error) {
	info, statErr := os.Stat(c.Output)
	folder := c.Output != "" && (statErr == nil && info.IsDir() || os.IsPathSeparator(c.Output[len(c.Output)-1]))
	switch {
	case folder && statErr != nil:
		return nil, usagef("-o %s: want a folder that exists", c.Output)
	case len(c.Files) > 1 && c.Output != "" && !folder:
		return nil, usagef("-o %s with %d pictures, want a folder", c.Output, len(c.Files))
	}
	for _, file := range c.Files {
		e := enlargement{from: file, exists: picture.Number}
		if c.Output != "" && !folder {
			e.to, e.exists = c.Output, picture.Replace
			if samePath(file, c.Output) {
				return nil, usagef("-o %s is also the picture to enlarge, want another name", c.Output)
			}
			if err := picture.CheckWritable(e.to, e.exists); err != nil {
				return nil, err
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// defaultOutput returns the file for a picture if -o does not name it: NAME-4x.png for an enlargement of 4.
func (c upscaleCommand) defaultOutput(file string, scale int) string {
	base := filepath.Base(file)
	return filepath.Join(c.Output, fmt.Sprintf("%s-%dx.png", strings.TrimSuffix(base, filepath.Ext(base)), scale))
}

// enlarge enlarges one picture. model is nil unless one works the result over.
func (c upscaleCommand) enlarge(
	ctx context.Context, s Streams, upscaler *inference.Upscaler, model *refiner, e enlargement, title string,
) error {
	start := time.Now()
	o, err := picture.OpenAnySize(ctx, e.from)
	if err != nil {
		return err
	}
	size := upscaler.Size(o.Size, c.Scale)
	if e.to == "" {
		e.to = c.defaultOutput(e.from, size.Width/o.Size.Width)
	}
	if err := picture.CheckRows(e.to, size, e.exists); err != nil {
		return err
	}
	if err := model.check(e, o, size); err != nil {
		return err
	}
	meta, err := madeBy(e.from)
	if err != nil {
		fmt.Fprintf(s.Err, "note: %s: what it says of how it was made is not kept: %s\n", e.from, oneLine(err))
	}
	if meta != nil {
		if err := picture.CheckFits(e.to, *meta, reserveBytes); err != nil {
			return err
		}
	}
	display := newProgress(s.Err, title)
	var path string
	if model == nil {
		path, err = upscaler.Write(ctx, e.to, o, size, meta, e.exists, display.update)
	} else {
		path, err = model.write(ctx, upscaler, e, o, size, meta, display.update)
	}
	display.finish()
	if err != nil {
		return err
	}
	took := time.Since(start)
	fmt.Fprintf(s.Err, "%s: %v to %v in %.2f s\n", e.from, o.Size, size, took.Seconds())
	if !c.JSON {
		return s.result(path)
	}
	info := upscaler.Info()
	return writeJSON(s.Out, upscaleReport{
		Path: path, PathBytes: picture.PathBytes(path), Width: size.Width, Height: size.Height,
		Upscaler: info.Name, SHA256: info.Digest, Seconds: took.Seconds(),
	}, "")
}

// madeBy returns what a picture of Kleinbild says of how it was made, with the mask of an edit, or nil for other
// pictures.
func madeBy(file string) (*picture.Metadata, error) {
	meta, err := picture.ReadMetadataFile(file)
	if errors.Is(err, picture.ErrNoMetadata) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if edit := meta.Edit; edit != nil && edit.Mask != nil {
		if levels, err := edit.Mask.ReadMaskFile(file); err == nil {
			edit.Mask.Levels = levels
		}
	}
	return &meta, nil
}
