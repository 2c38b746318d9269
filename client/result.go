package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"image/png"
	"reflect"
	"slices"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/server/api"
)

// count returns a number that a server tells, within its limits.
func count(n int) int { return int(within(float64(n), 0, maxCount)) }

// seconds returns a time that a server tells, within its limits.
func seconds(s float64) time.Duration {
	return time.Duration(within(s, 0, maxSeconds) * float64(time.Second))
}

// known says whether a stage is one that an engine has.
func known(s inference.Stage) bool {
	return slices.Contains([]inference.Stage{
		inference.StagePrompt, inference.StageReferences, inference.StageSteps, inference.StageDecode,
		inference.StageStitch,
	}, s)
}

func progressOf(p api.Progress) inference.Progress {
	total := count(p.Total)
	return inference.Progress{
		Stage: p.Stage, Step: min(count(p.Step), total), Total: total, Fraction: within(p.Fraction, 0, 1),
		Elapsed: seconds(p.Elapsed), Remaining: seconds(p.Remaining),
	}
}

// previewOf returns the picture of an event preview and the step after which it was made. The picture is nil if it
// cannot be shown while a picture of size is made.
func previewOf(data []byte, size picture.Size) (step, total int, img *image.RGBA) {
	var p api.Preview
	if json.Unmarshal(data, &p) != nil {
		return 0, 0, nil
	}
	file, err := base64.StdEncoding.DecodeString(p.Image)
	if err != nil {
		return 0, 0, nil
	}
	most := picture.Size{Width: min(size.Width, maxPreviewSide), Height: min(size.Height, maxPreviewSide)}
	img, err = decode(file, func(got picture.Size) error {
		if got.Width > most.Width || got.Height > most.Height {
			return errors.New("too large")
		}
		return nil
	})
	if err != nil {
		return 0, 0, nil
	}
	total = count(p.Total)
	return min(count(p.Step), total), total, img
}

// decode decodes a PNG file if check accepts its size.
func decode(file []byte, check func(picture.Size) error) (*image.RGBA, error) {
	config, err := png.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("its file is no PNG: %w", err)
	}
	if err := check(picture.Size{Width: config.Width, Height: config.Height}); err != nil {
		return nil, err
	}
	decoded, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("its file is damaged: %w", err)
	}
	if img, ok := decoded.(*image.RGBA); ok && img.Rect.Min == (image.Point{}) {
		return img, nil
	}
	img := image.NewRGBA(image.Rect(0, 0, config.Width, config.Height))
	draw.Draw(img, img.Rect, decoded, decoded.Bounds().Min, draw.Src)
	return img, nil
}

// resultOf returns the result in an event picture, which must be that of req.
func resultOf(ctx context.Context, data []byte, req inference.Request) (*inference.Result, error) {
	var p api.Picture
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, errors.New("its event is damaged")
	}
	file, err := base64.StdEncoding.DecodeString(p.Image)
	if err != nil {
		return nil, errors.New("its event is damaged")
	}
	var img image.Image
	if laidIn(req) {
		img, err = laid(ctx, file, req)
	} else {
		img, err = decode(file, sizeOf(req))
	}
	if err != nil {
		return nil, err
	}
	meta, err := metadataOf(file, req)
	if err != nil {
		return nil, err
	}
	r := &inference.Result{
		Image: img, Workflow: inference.WorkflowOf(len(req.References())), Metadata: meta,
		Truncated: p.Truncated[:min(len(p.Truncated), inference.MaxPromptBytes)],
	}
	if edit, editing := req.Editing(); editing {
		r.Edited = &inference.Edited{Editing: edit, Changed: within(p.Changed, 0, 1)}
	}
	for _, s := range p.Stages[:min(len(p.Stages), maxStages)] {
		if known(s.Stage) {
			r.Timings = append(r.Timings, inference.Timing{
				Stage: s.Stage, Duration: seconds(s.Seconds), Work: within(s.Work, 0, maxWork),
			})
		}
	}
	return r, nil
}

// sizeOf returns a function that accepts the size of the picture that req asks for.
func sizeOf(req inference.Request) func(picture.Size) error {
	return func(got picture.Size) error {
		if want := req.PictureSize(); got != want {
			return fmt.Errorf("it has %v pixels, want %v", got, want)
		}
		return nil
	}
}

// laid returns a picture that was laid into image 1, with the kind, the profile and the Exif block of image 1.
func laid(ctx context.Context, file []byte, req inference.Request) (image.Image, error) {
	config, err := png.DecodeConfig(bytes.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("its file is no PNG: %w", err)
	}
	if err := sizeOf(req)(picture.Size{Width: config.Width, Height: config.Height}); err != nil {
		return nil, err
	}
	got, err := picture.DecodeOriginal(ctx, file)
	if err != nil {
		return nil, fmt.Errorf("its file is damaged: %w", err)
	}
	original := req.Original()
	if got, want := reflect.TypeOf(got.Pixels), reflect.TypeOf(original.Pixels); got != want {
		return nil, fmt.Errorf("it is an %v, want an %v as image 1 is", got, want)
	}
	return original.With(got.Pixels), nil
}

// maxWork bounds an estimate of work: the largest picture with 1,000 steps of a model a hundred times as large.
const maxWork = 1e22

// metadataOf returns the metadata of a picture as an engine on this computer gives them. What the request says is taken
// from the request, and what the server says of its engine from the file, which must be that of the request. The caller
// sets Version.
func metadataOf(file []byte, req inference.Request) (picture.Metadata, error) {
	meta, err := picture.ReadMetadata(bytes.NewReader(file))
	if err != nil {
		return meta, fmt.Errorf("its file does not say how it was made: %w", err)
	}
	same := meta.Prompt == req.Prompt() && meta.Seed == req.Seed() && meta.Steps == req.Steps() &&
		meta.Guidance == req.Guidance() && meta.ModelDigest == req.Model() &&
		meta.Width == req.PictureSize().Width && meta.Height == req.PictureSize().Height
	if !same {
		return meta, errors.New("it was made for another request")
	}
	own := picture.Metadata{
		Prompt: req.Prompt(), Seed: req.Seed(), Steps: req.Steps(), Guidance: req.Guidance(),
		Width: req.PictureSize().Width, Height: req.PictureSize().Height, ModelDigest: req.Model(),
		Model: clean(meta.Model, maxTextRunes), Variant: clean(meta.Variant, maxTextRunes),
		Precision: clean(meta.Precision, maxTextRunes), Device: clean(meta.Device, maxTextRunes),
		MaxSequenceLength: int(within(float64(meta.MaxSequenceLength), 0, inference.MaxSequenceLength)),
	}
	own.Edit = req.EditMetadata()
	if own.LoRAs, err = lorasOf(meta.LoRAs, req); err != nil {
		return meta, err
	}
	for _, ref := range req.References() {
		own.References = append(own.References, ref.File())
	}
	return own, nil
}
