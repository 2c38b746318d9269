package client

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/server/api"
)

// check returns an error if the server cannot do what req asks for.
func (e *Engine) check(req inference.Request) error {
	e.mu.Lock()
	info, most, features := e.info, e.most, e.features
	e.mu.Unlock()
	references := len(req.References())
	edit, editing := req.Editing()
	switch {
	case req.Model() != info.Digest || req.Steps() == 0:
		return e.failf("has another model than the request was made for, want a request for %s", info.Model)
	case req.Noise() != nil:
		return e.failf("takes no noise from a file, want a seed")
	case editing && !slices.Contains(features, api.Edits):
		return e.failf("cannot edit a part of a picture, want a newer version there, or an edit of the whole picture")
	case editing && !edit.AskedArea.Empty() && !slices.Contains(features, api.Areas):
		return e.failf("cannot work on a chosen area, want a newer version there, or no area")
	case references > 0 && (most == 0 || !slices.Contains(features, api.References)):
		return e.failf("takes no reference pictures with the model that it has, want a prompt alone")
	case references > most:
		return e.failf("takes %d reference pictures at most, found %d", most, references)
	}
	for _, l := range req.LoRAs() {
		if err := e.checkLoRA(l); err != nil {
			return err
		}
	}
	return nil
}

// encode writes req as a form of POST /v1/generate. Everything is written out that Checked.Resolve has decided, so that
// the server decides nothing again. A field that a later version adds is added here.
func encode(req inference.Request, previews bool) (contentType string, body []byte, err error) {
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	field := func(name, value string) {
		if err == nil {
			err = form.WriteField(name, value)
		}
	}
	addPicture := func(name string, img image.Image) {
		if err == nil {
			err = writePicture(form, name, img)
		}
	}
	field("prompt", markedText(req.Prompt()))
	field("allow_empty_prompt", strconv.FormatBool(req.Prompt() == ""))
	field("model_digest", req.Model())
	field("seed", strconv.FormatUint(req.Seed(), 10))
	field("steps", strconv.Itoa(req.Steps()))
	field("guidance", strconv.FormatFloat(req.Guidance(), 'g', -1, 64))
	field("size", sizeField(req))
	if len(req.LoRAs()) > 0 {
		field("loras", lorasField(req))
	}
	edit, editing := req.Editing()
	if editing {
		for name, value := range editFields(req, edit) {
			field(name, value)
		}
	}
	field("output_format", "png")
	field("stream", "true")
	field("previews", strconv.FormatBool(previews))
	for i, ref := range req.References() {
		var img image.Image = ref.Image
		if i == 0 && laidIn(req) {
			img = withoutMargins(req.Original(), edit.Margins)
		}
		addPicture(fmt.Sprintf("images[%d]", i+1), img)
	}
	if mask := req.Mask(); mask != nil && edit.Margins == (inference.Margins{}) && !mask.Transparency() {
		addPicture("mask", mask.Gray())
	}
	if err == nil {
		err = form.Close()
	}
	return form.FormDataContentType(), b.Bytes(), err
}

// sizeField returns the size as the API takes it. Only the size of image 1 may be beyond the limits of sizes.
func sizeField(req inference.Request) string {
	if edit, editing := req.Editing(); editing && (laidIn(req) || edit.Strength != 1) {
		return "" // it is that of image 1
	}
	if req.Size().Check() != nil && len(req.References()) > 0 {
		return string(picture.Match)
	}
	return req.Size().String()
}

// laidIn says whether the result is laid into image 1 at its full resolution, which is then sent as it is.
func laidIn(req inference.Request) bool {
	edit, _ := req.Editing()
	return edit.Picture != (picture.Size{})
}

// withoutMargins returns image 1 as it was before the request extended it: the server does that again.
func withoutMargins(o *picture.Original, m inference.Margins) *picture.Original {
	if m == (inference.Margins{}) {
		return o
	}
	size := picture.Size{Width: o.Size.Width - m.Left - m.Right, Height: o.Size.Height - m.Top - m.Bottom}
	pixels := o.New(size)
	from, fromStride, pixelBytes := samples(o.Pixels)
	to, toStride, _ := samples(pixels)
	for y := range size.Height {
		copy(to[y*toStride:][:size.Width*pixelBytes], from[(y+m.Top)*fromStride+m.Left*pixelBytes:])
	}
	return o.With(pixels)
}

// samples returns the samples of a picture of one of the types that an Original has, with the bytes of a row and of a
// pixel.
func samples(img image.Image) (pix []uint8, stride, pixelBytes int) {
	switch img := img.(type) {
	case *image.Gray:
		return img.Pix, img.Stride, 1
	case *image.Gray16:
		return img.Pix, img.Stride, 2
	case *image.NRGBA:
		return img.Pix, img.Stride, 4
	case *image.NRGBA64:
		return img.Pix, img.Stride, 8
	}
	return nil, 0, 0
}

// editFields returns the fields of an edit, without the mask if that is a picture.
func editFields(req inference.Request, edit inference.Editing) map[string]string {
	fields := map[string]string{"match_colours": strconv.FormatBool(edit.MatchColours)}
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	if edit.Strength != 1 {
		fields["strength"] = number(edit.Strength)
	}
	if edit.KeepUnchanged != 0 {
		fields["keep_unchanged"] = number(edit.KeepUnchanged)
	}
	if edit.Whole {
		fields["whole"] = "true"
	}
	if edit.Hidden {
		fields["source"] = "hidden"
	}
	mask := req.Mask()
	if mask == nil {
		return fields
	}
	fields["feather"] = strconv.Itoa(edit.Feather)
	if edit.Context >= 0 {
		fields["context"] = strconv.Itoa(edit.Context)
	}
	if !edit.AskedArea.Empty() {
		fields["area"] = inference.AreaText(edit.AskedArea)
	}
	switch m := edit.Margins; {
	case m != (inference.Margins{}):
		fields["extend"] = inference.Extension{Margins: m}.String()
	case mask.Transparency():
		fields["mask"] = "alpha"
	}
	return fields
}

// writePicture adds a picture as a PNG. A reference has the pixels that were prepared here. The server prepares it
// again, which changes nothing: it is upright and opaque, has sRGB colours, and its size is that of a prepared
// reference. Image 1 of some edits is sent at its full resolution, with its profile.
func writePicture(form *multipart.Writer, name string, img image.Image) error {
	header := textproto.MIMEHeader{}
	// The file's own name stays here.
	header.Set("Content-Disposition", fmt.Sprintf(`form-data; name="%s"; filename="picture.png"`, name))
	header.Set("Content-Type", "image/png")
	part, err := form.CreatePart(header)
	if err != nil {
		return err
	}
	if original, ok := img.(*picture.Original); ok {
		return picture.EncodePNG(part, original, picture.Metadata{})
	}
	encoder := png.Encoder{CompressionLevel: png.BestSpeed} // a network is faster than the best compression
	return encoder.Encode(part, img)
}

// markedText returns a prompt so that the server reads it as it is. The server removes a byte order mark, as everybody
// does who reads a prompt; one that is left in this prompt is therefore doubled.
func markedText(prompt string) string {
	const mark = "\uFEFF"
	if strings.HasPrefix(prompt, mark) {
		return mark + prompt
	}
	return prompt
}
