package server

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/server/api"
)

// The fields of POST /v1/generate.
const (
	fieldPrompt      = "prompt"
	fieldModel       = "model"
	fieldAspectRatio = "aspect_ratio"
	fieldImages      = "images"
	fieldImageURIs   = "image_uris"
	fieldSeed        = "seed"
	fieldSteps       = "steps"
	fieldGuidance    = "guidance"
	fieldSize        = "size"
	fieldStream      = "stream"
	fieldLoRAs       = "loras"
)

// The fields of POST /v1/generate that Kleinbild's own client needs.
const (
	fieldPreviews    = "previews"
	fieldModelDigest = "model_digest"
	fieldEmptyPrompt = "allow_empty_prompt"
)

// generateFields are the fields of POST /v1/generate, without pictures.
var generateFields = append([]string{
	fieldPrompt, fieldModel, fieldAspectRatio, fieldImageURIs, fieldSeed, fieldSteps, fieldGuidance, fieldSize,
	fieldOutputFormat, fieldOutputCompression, fieldStream, fieldPreviews, fieldModelDigest, fieldEmptyPrompt,
	fieldLoRAs,
}, editFields...)

const sizeAuto = "auto" // means the same as no size

// ourNames maps the engine's fields to their names in this API.
var ourNames = map[inference.Field]string{
	inference.FieldPrompt: fieldPrompt, inference.FieldReferences: fieldImages, inference.FieldAspect: fieldAspectRatio,
	inference.FieldSize: fieldSize, inference.FieldSeed: fieldSeed,
	inference.FieldSteps: fieldSteps, inference.FieldGuidance: fieldGuidance, inference.FieldLoRAs: fieldLoRAs,
	inference.FieldMask: fieldMask, inference.FieldStrength: fieldStrength, inference.FieldExtend: fieldExtend,
	inference.FieldFeather: fieldFeather, inference.FieldContext: fieldContext,
	inference.FieldArea:         fieldArea,
	inference.FieldMatchColours: fieldMatchColours, inference.FieldHidden: fieldSource,
	inference.FieldKeepUnchanged: fieldKeepUnchanged,
}

// apiRequest is what a client asks for.
type apiRequest struct {
	model     string
	ask       inference.Ask     // what the fields say
	checked   inference.Checked // ask, after it was checked
	request   inference.Request // set when the request has its turn
	sources   []*source         // the reference pictures
	mask      *maskSource       // nil if there is none
	pictures  string            // how the path calls the reference pictures
	n         int               // how many pictures to make
	ignored   []string          // names of fields that have no effect
	loras     []api.LoRAAsked   // the field loras
	admission *admission

	format   format // of the finished pictures
	stream   *bool  // the field stream, nil if it is not given
	partials int    // how many previews a stream has
	previews bool   // a stream has a preview after each step
	digest   string // of the model that must make the picture; "" for any
}

// source is a reference picture before it is decoded: bytes, or an address to fetch them from.
type source struct {
	field string // its name in messages
	data  chunks
	url   *url.URL
	// server and held, the lease of the request's body, are set before Open is called.
	server *Server
	held   *lease
	// admit takes the memory for an edit of the picture while it is decoded, before the next picture's turn. It is nil if
	// nothing is laid into the picture.
	admit func(*picture.Original) error
}

// parse reads the fields of POST /v1/generate.
func (f *form) parse(allowRemote bool) (*apiRequest, error) {
	if err := f.values.remove(); err != nil {
		return nil, err
	}
	req, err := f.values.apiRequest(generateFields...)
	if err != nil {
		return nil, err
	}
	if req.previews, _, err = f.values.boolean(fieldPreviews); err != nil {
		return nil, err
	}
	if req.digest, err = f.values.string(fieldModelDigest); err != nil {
		return nil, err
	}
	if err := f.values.aspectRatio(&req.ask); err != nil {
		return nil, err
	}
	uploads, err := f.sources(fieldImages)
	if err != nil {
		return nil, err
	}
	if f.urisErr != nil {
		return nil, f.urisErr
	}
	for _, src := range f.uris {
		if src.url != nil && !allowRemote {
			return nil, errNotRemote(src.field)
		}
	}
	if req.loras, err = f.values.loras(); err != nil {
		return nil, err
	}
	req.refer(fieldImages, slices.Concat(uploads, f.uris))
	if err := f.edit(req, false, allowRemote); err != nil {
		return nil, err
	}
	if err := f.values.size(&req.ask, string(picture.Match)); err != nil {
		return nil, err
	}
	return req, f.values.check(req)
}

// refer makes sources the reference pictures of req. Messages call them name.
func (req *apiRequest) refer(name string, sources []*source) {
	req.pictures, req.sources = name, sources
	for _, src := range sources {
		req.ask.References = append(req.ask.References, src)
	}
}

// apiRequest reads the fields that all paths have in common. known are the names of all fields of the path. The path
// then adds its own fields to the request's ask, and checks it.
func (v values) apiRequest(known ...string) (*apiRequest, error) {
	ignored, err := v.translate(known...)
	if err != nil {
		return nil, err
	}
	req := &apiRequest{ignored: ignored, n: 1}
	if req.ask.Prompt, err = v.string(fieldPrompt); err != nil {
		return nil, err
	}
	mayBeEmpty := false
	if slices.Contains(known, fieldEmptyPrompt) {
		if mayBeEmpty, _, err = v.boolean(fieldEmptyPrompt); err != nil {
			return nil, err
		}
	}
	if req.ask.Prompt == "" && !mayBeEmpty {
		return nil, invalid(fieldPrompt, "is required")
	}
	if req.model, err = v.string(fieldModel); err != nil {
		return nil, err
	}
	if req.ask.Seed, err = read(v, inference.FieldSeed, inference.ParseSeed); err != nil {
		return nil, err
	}
	if req.ask.Steps, err = read(v, inference.FieldSteps, inference.ParseSteps); err != nil {
		return nil, err
	}
	if req.ask.Guidance, err = read(v, inference.FieldGuidance, inference.ParseGuidance); err != nil {
		return nil, err
	}
	stream, given, err := v.boolean(fieldStream)
	if err != nil {
		return nil, err
	}
	if given {
		req.stream = &stream
	}
	var compresses bool
	if req.format, compresses, err = v.format(); err != nil {
		return nil, err
	}
	if !compresses {
		req.ignored = append(req.ignored, fieldOutputCompression)
	}
	return req, nil
}

// read returns the number in one of the engine's fields, nil if it is not given.
func read[T any](v values, field inference.Field, parse func(text string) (*T, error)) (*T, error) {
	value, ok := v.given(ourNames[field])
	if !ok {
		return nil, nil
	}
	if value.kind != formText && value.kind != jsonNumber {
		return nil, v.fieldError(inference.FieldError{Field: field, Got: value.got(), Want: field.Want()})
	}
	x, err := parse(wholeNumber(value.text))
	if err != nil {
		return nil, v.fieldError(err)
	}
	return x, nil
}

// aspectRatio reads the aspect ratio. In this API match is a value of size, not of aspect_ratio.
func (v values) aspectRatio(ask *inference.Ask) error {
	text := v[fieldAspectRatio].text
	if text == string(picture.Match) {
		return v.fieldError(inference.Unreadable(inference.FieldAspect, text))
	}
	ask.Aspect = picture.AspectRatio(text)
	// A size may replace the aspect ratio before the whole request is checked.
	if _, err := (inference.Ask{Aspect: ask.Aspect}).Check(); err != nil {
		return v.fieldError(err)
	}
	return nil
}

// size reads an exact size, or one of words, such as match, which is the size of image 1. A size replaces the aspect
// ratio; auto is the same as no size.
func (v values) size(ask *inference.Ask, words ...string) error {
	text, err := v.string(fieldSize)
	switch {
	case err != nil:
		return err
	case text == "" || text == sizeAuto:
		return nil
	case slices.Contains(words, text):
		ask.Aspect = picture.AspectRatio(text)
		return nil
	}
	ask.Aspect = ""
	if ask.Size, err = inference.ParseSize(text); err != nil {
		return v.fieldError(err, append(words, sizeAuto)...)
	}
	return nil
}

// check compares everything that req asks for with its limits.
func (v values) check(req *apiRequest) (err error) {
	if req.checked, err = req.ask.Check(); err != nil {
		var e inference.FieldError
		if errors.As(err, &e) && e.Field == inference.FieldReferences && req.pictures != "" {
			return refusal(e, req.pictures, e.Want)
		}
		return v.fieldError(err)
	}
	return req.format.check(req.checked.Prompt())
}

// fieldError turns a FieldError into the reply to the client, with the name that the client used for the field. others
// are words that the field takes in addition to what the engine wants. It returns any other error as it is.
func (v values) fieldError(err error, others ...string) error {
	var e inference.FieldError
	if !errors.As(err, &e) {
		return err
	}
	name, want := ourNames[e.Field], e.Want
	if field, ok := v.given(name); ok {
		name = field.name
	}
	if e.Field == inference.FieldAspect {
		want = "one of " + strings.Join(shapes(), ", ")
	}
	return refusal(e, name, strings.Join(append([]string{want}, others...), ", or "))
}

// refusal returns the reply to a bad value of the field called name.
func refusal(e inference.FieldError, name, want string) *apiError {
	refused := invalid(name, "found %s, want %s", e.Got, want)
	refused.cause = e
	return refused
}

// shapes are the values of aspect_ratio.
func shapes() (names []string) {
	for _, a := range picture.AspectRatios() {
		if a != picture.Match { // match is a value of size
			names = append(names, string(a))
		}
	}
	return names
}

// parseURL reads the address of a picture to fetch.
func parseURL(field, text string) (*source, error) {
	address, err := url.Parse(text)
	web := err == nil && (address.Scheme == "http" || address.Scheme == "https")
	if !web || address.Host == "" || address.User != nil {
		return nil, invalid(field, "want a data URI, or an http or https URL without a user name")
	}
	return &source{field: field, url: address}, nil
}

// quote returns a client's text in quotes, cut off if it is long.
func quote(text string) string { return strconv.Quote(clip(text)) }
