package server

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime/multipart"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// The fields of an edit of a part of image 1, on /v1/generate and /v1/images/edits.
const (
	fieldMask          = "mask"
	fieldStrength      = "strength"
	fieldExtend        = "extend"
	fieldFeather       = "feather"
	fieldContext       = "context"
	fieldArea          = "area"
	fieldWhole         = "whole"
	fieldMatchColours  = "match_colours"
	fieldSource        = "source"
	fieldKeepUnchanged = "keep_unchanged"
	fieldRemove        = "remove"
)

// editFields are the names of these fields.
var editFields = []string{
	fieldMask, fieldStrength, fieldExtend, fieldFeather, fieldContext, fieldArea, fieldWhole, fieldMatchColours,
	fieldSource, fieldKeepUnchanged, fieldRemove,
}

// maskAlpha is the value of mask that stands for the transparency of image 1.
const maskAlpha = "alpha"

// edit reads the fields of an edit into ask. transparent says that a mask's file changes what is transparent, as at
// OpenAI; otherwise it changes what is white. It is called when ask has its references.
func (f *form) edit(req *apiRequest, transparent, allowRemote bool) (err error) {
	v, e := f.values, &inference.Edit{}
	if f.maskErr != nil {
		return f.maskErr
	}
	switch mask := f.mask; {
	case mask != nil:
		if mask.url != nil && !allowRemote {
			return errNotRemote(mask.field)
		}
		req.mask = &maskSource{source: *mask, transparent: transparent}
		e.Mask = req.mask
	case v[fieldMask].text == maskAlpha:
		e.Mask = inference.AlphaMask{}
	}
	if e.Strength, err = read(v, inference.FieldStrength, inference.ParseStrength); err != nil {
		return err
	}
	if e.Feather, err = read(v, inference.FieldFeather, inference.ParseFeather); err != nil {
		return err
	}
	if e.Context, err = read(v, inference.FieldContext, inference.ParseContext); err != nil {
		return err
	}
	if e.Area, err = read(v, inference.FieldArea, inference.ParseArea); err != nil {
		return err
	}
	if e.KeepUnchanged, err = read(v, inference.FieldKeepUnchanged, inference.ParseKeepUnchanged); err != nil {
		return err
	}
	extend, err := v.string(fieldExtend)
	if err != nil {
		return err
	}
	if extend != "" {
		if e.Extend, err = inference.ParseExtension(extend); err != nil {
			return v.fieldError(err)
		}
	}
	if e.Whole, _, err = v.boolean(fieldWhole); err != nil {
		return err
	}
	match, given, err := v.boolean(fieldMatchColours)
	if err != nil {
		return err
	}
	if given {
		e.MatchColours = &match
	}
	const shown, hidden = "reference", "hidden"
	source, err := v.choice(fieldSource, shown, hidden)
	if err != nil {
		return err
	}
	e.Hidden = source == hidden
	if *e != (inference.Edit{}) {
		req.ask.Edit = e
	}
	return nil
}

// remove reads the field remove, which stands for a prompt. It is called before the prompt is read.
func (v values) remove() error {
	remove, _, err := v.boolean(fieldRemove)
	if err != nil || !remove {
		return err
	}
	if prompt, ok := v.given(fieldPrompt); ok {
		return invalid(prompt.name, "found together with %s, which has a prompt of its own; want one of them", fieldRemove)
	}
	if _, ok := v.given(fieldMask); !ok {
		return invalid(fieldRemove, "found no mask, want a mask that marks what to remove")
	}
	v[fieldPrompt] = value{name: fieldPrompt, text: inference.RemovePrompt}
	return nil
}

func errNotRemote(field string) *apiError {
	return invalid(field, "URLs are not fetched by this server (--allow-remote-uris); want a data URI")
}

// addMask reads the part mask: a file, a data URI, a URL, or the word alpha. It decodes the base64 of a data URI while
// it arrives. An error in the text is stored in f.maskErr: a path that has no such field gives another error for it.
func (f *form) addMask(part *multipart.Part) error {
	_, repeated := f.values[fieldMask]
	v := value{name: fieldMask, text: "[…]", repeated: repeated}
	src := &source{field: fieldMask}
	if isFile(part) {
		if _, err := src.data.ReadFrom(part); err != nil {
			return malformed("multipart", err)
		}
		if src.data.size == 0 && part.FileName() == "" { // a browser's empty file field
			return nil
		}
		f.mask, f.values[fieldMask] = src, v
		return nil
	}
	in := &failing{in: part}
	text := bufio.NewReader(in)
	src, v.text, f.maskErr = readMaskText(text)
	if _, err := io.Copy(io.Discard, text); in.err != nil {
		return malformed("multipart", in.err)
	} else if err != nil {
		return malformed("multipart", err)
	}
	f.mask, f.values[fieldMask] = src, v
	return nil
}

// readMaskText reads the text of a mask. src is nil if the text names no file; then word is the text.
func readMaskText(text *bufio.Reader) (src *source, word string, err error) {
	var head strings.Builder
	for head.Len() <= maxURLBytes {
		c, err := text.ReadByte()
		if err != nil {
			break
		}
		head.WriteByte(c)
		if c == ',' {
			break
		}
	}
	word = strings.TrimSpace(head.String())
	scheme, kind, _ := strings.Cut(word, ":")
	switch {
	case word == "" || word == maskAlpha:
		return nil, word, nil
	case head.Len() > maxURLBytes:
		return nil, "[…]", invalid(fieldMask, "found an address of more than %d bytes, want at most that", maxURLBytes)
	case !strings.EqualFold(scheme, "data"):
		rest, err := io.ReadAll(io.LimitReader(text, int64(maxURLBytes-head.Len())))
		if err != nil {
			return nil, "[…]", err
		}
		word = strings.TrimSpace(head.String() + string(rest))
		src, err = parseURL(fieldMask, word)
		if err != nil {
			err = invalid(fieldMask, "found %s, want a file, a data URI, an http or https URL, or %s", quote(word), maskAlpha)
		}
		return src, "[…]", err
	case !strings.HasSuffix(strings.ToLower(kind), ";base64,"):
		return nil, "[…]", invalid(fieldMask, "want data:image/…;base64,…")
	}
	src = &source{field: fieldMask}
	if _, err := src.data.ReadFrom(base64.NewDecoder(base64.StdEncoding, text)); err != nil {
		return nil, "[…]", invalid(fieldMask, "is not valid base64")
	}
	return src, "[…]", nil
}

// failing is a reader that keeps the error of in, unless that is io.EOF: it tells a connection that broke from text
// that is not base64.
type failing struct {
	in  io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.in.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// maskSource is a mask before it is decoded.
type maskSource struct {
	source
	transparent bool // the mask changes what is transparent, not what is white
}

// OpenMask fetches and decodes the mask, and frees its bytes.
func (src *maskSource) OpenMask(ctx context.Context, original *picture.Original) (*inference.Mask, error) {
	var mask *inference.Mask
	var empty error // says that the mask changes nothing; the engine knows this error
	err := src.take(ctx, func(file []byte) (err error) {
		mask, err = inference.MaskBytes{File: file, Alpha: src.transparent}.OpenMask(ctx, original)
		if errors.Is(err, inference.ErrNothingToChange) {
			empty, err = err, nil
		}
		return err
	})
	if err == nil {
		err = empty
	}
	return mask, err
}

// OpenOriginal fetches and decodes a picture also at its full resolution, and frees its bytes.
func (src *source) OpenOriginal(ctx context.Context) (inference.Reference, *picture.Original, error) {
	var ref inference.Reference
	var original *picture.Original
	err := src.take(ctx, func(file []byte) (err error) {
		if ref.Reference, err = picture.Decode(ctx, file); err != nil {
			return err
		}
		original, err = picture.DecodeOriginal(ctx, file)
		if err == nil && src.admit != nil {
			err = src.admit(original)
		}
		return err
	})
	return ref, original, err
}

// admitOriginal gives an edit the memory for image 1 with what is added to it, for a mask of its size and for the
// pictures. Without that each place in the queue could hold a photo of 100 megapixels while it waits for its mask to be
// decoded, and a small photo could grow to as much.
func (req *apiRequest) admitOriginal(o *picture.Original) error {
	size, err := req.ask.Edit.SizeFor(o.Size)
	if err != nil {
		size = o.Size // the engine refuses it
	}
	pixels := int64(size.Width) * int64(size.Height)
	each := o.Bytes()/(int64(o.Size.Width)*int64(o.Size.Height)) + 1 + int64(req.pictureCount())*editedPixelBytes
	return req.admission.hold(min(pixels*each, maxHeldBytes))
}

// admitEdit gives an edit the memory that it takes until the client has its pictures, now that image 1 and the mask
// have been read. It also finds out whether the edit fits image 1.
func (req *apiRequest) admitEdit(info inference.Info) error {
	if req.ask.Edit == nil {
		return nil
	}
	if _, err := req.checked.Resolve(info); err != nil {
		return req.fieldError(err)
	}
	return req.admission.hold(req.holds(info))
}

// editHolds is holds for an edit whose image 1 has been read at its full resolution; ok is false for all other
// requests. An edit that takes more than all requests may have can still run alone.
func (req *apiRequest) editHolds(info inference.Info) (bytes int64, ok bool) {
	if req.ask.Edit == nil || !req.ask.Edit.NeedsOriginal() {
		return 0, false
	}
	request, err := req.checked.Resolve(info)
	if err != nil {
		return 0, false // it has not been read yet
	}
	size := request.PictureSize()
	pictures := int64(req.pictureCount()) * int64(size.Width) * int64(size.Height) * editedPixelBytes
	return min(req.checked.HeldBytes()+pictures, maxHeldBytes), true
}

// fieldError turns a FieldError that was found after the fields were read into the reply to the client. It returns any
// other error as it is.
func (req *apiRequest) fieldError(err error) error {
	var own *apiError
	var e inference.FieldError
	switch {
	case !errors.As(err, &e) || errors.As(err, &own):
		return err
	case e.Field == inference.FieldReferences && req.pictures != "":
		return refusal(e, req.pictures, e.Want)
	case e.Field == inference.FieldMask && req.mask != nil && req.mask.transparent:
		return refusal(e, fieldMask,
			"a picture that is transparent where the first picture changes and opaque where it stays")
	}
	return refusal(e, ourNames[e.Field], e.Want)
}
