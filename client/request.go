package client

import (
	"bytes"
	"fmt"
	"image/png"
	"mime/multipart"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"kleinbild/inference"
	"kleinbild/inference/picture"
	"kleinbild/server/api"
)

// check returns an error if the server cannot do what req asks for.
func (e *Engine) check(req inference.Request) error {
	e.mu.Lock()
	info, most, features := e.info, e.most, e.features
	e.mu.Unlock()
	references := len(req.References())
	_, editing := req.Editing()
	switch {
	case req.Model() != info.Digest || req.Steps() == 0:
		return e.failf("has another model than the request was made for, want a request for %s", info.Model)
	case req.Noise() != nil:
		return e.failf("takes no noise from a file, want a seed")
	case editing:
		return e.failf("cannot edit a part of a picture for others yet, want an edit of the whole picture")
	case len(req.LoRAs()) > 0:
		return e.failf("takes no LoRAs from here, want a request without")
	case references > 0 && (most == 0 || !slices.Contains(features, api.References)):
		return e.failf("takes no reference pictures with the model that it has, want a prompt alone")
	case references > most:
		return e.failf("takes %d reference pictures at most, found %d", most, references)
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
	field("prompt", markedText(req.Prompt()))
	field("allow_empty_prompt", strconv.FormatBool(req.Prompt() == ""))
	field("model_digest", req.Model())
	field("seed", strconv.FormatUint(req.Seed(), 10))
	field("steps", strconv.Itoa(req.Steps()))
	field("guidance", strconv.FormatFloat(req.Guidance(), 'g', -1, 64))
	field("size", sizeField(req))
	field("output_format", "png")
	field("stream", "true")
	field("previews", strconv.FormatBool(previews))
	for i, ref := range req.References() {
		if err == nil {
			err = addPicture(form, fmt.Sprintf("images[%d]", i+1), ref)
		}
	}
	if err == nil {
		err = form.Close()
	}
	return form.FormDataContentType(), b.Bytes(), err
}

// sizeField returns the size as the API takes it. Only the size of image 1 may be beyond the limits of sizes.
func sizeField(req inference.Request) string {
	if req.Size().Check() != nil && len(req.References()) > 0 {
		return string(picture.Match)
	}
	return req.Size().String()
}

// addPicture adds a reference as a PNG of the pixels that were prepared here. The server prepares it again, which
// changes nothing: it is upright and opaque, has sRGB colours, and its size is that of a prepared reference.
func addPicture(form *multipart.Writer, name string, ref inference.Reference) error {
	header := textproto.MIMEHeader{}
	// The file's own name stays here.
	header.Set("Content-Disposition", fmt.Sprintf(`form-data; name="%s"; filename="%s.png"`, name, "reference"))
	header.Set("Content-Type", "image/png")
	part, err := form.CreatePart(header)
	if err != nil {
		return err
	}
	encoder := png.Encoder{CompressionLevel: png.BestSpeed} // a network is faster than the best compression
	return encoder.Encode(part, ref.Image)
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
