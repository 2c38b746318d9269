package server

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"kleinbild/inference"
	"kleinbild/inference/picture"
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
)

// fieldMask is a file of OpenAI's POST /v1/images/edits.
const fieldMask = "mask"

// generateFields are the fields of POST /v1/generate, without pictures.
var generateFields = []string{
	fieldPrompt, fieldModel, fieldAspectRatio, fieldImageURIs, fieldSeed, fieldSteps, fieldGuidance, fieldSize,
	fieldOutputFormat, fieldOutputCompression, fieldStream,
}

const sizeAuto = "auto" // the same as leaving the size out

// ourNames has this API's name of each field of the engine's.
var ourNames = map[inference.Field]string{
	inference.FieldPrompt: fieldPrompt, inference.FieldReferences: fieldImages, inference.FieldAspect: fieldAspectRatio,
	inference.FieldSize: fieldSize, inference.FieldSeed: fieldSeed,
	inference.FieldSteps: fieldSteps, inference.FieldGuidance: fieldGuidance,
}

// job is what a client asks for.
type job struct {
	model     string
	ask       inference.Ask     // what the fields say
	checked   inference.Checked // ask, after it was checked
	request   inference.Request // set when the job has its turn
	sources   []*source         // the reference pictures, nil once they are read
	pictures  string            // the path's name for the reference pictures
	n         int               // how many pictures to make
	ignored   []string          // names of fields that have no effect
	admission *admission

	format   format // of the finished pictures
	stream   *bool  // the field stream, nil if it is not given
	partials int    // how many previews a stream has
}

// source is a reference picture before it is decoded: bytes, or an address to fetch them from.
type source struct {
	field string // its name in messages
	data  chunks
	url   *url.URL
	// server and held, the lease of the request's body, are set before Open is called.
	server *Server
	held   *lease
}

// parse reads the fields of POST /v1/generate.
func (f *form) parse(allowRemote bool) (*job, error) {
	j, err := f.values.job(generateFields...)
	if err != nil {
		return nil, err
	}
	if err := f.values.aspectRatio(&j.ask); err != nil {
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
			return nil, invalid(src.field, "URLs are not fetched by this server (--allow-remote-uris); want a data URI")
		}
	}
	j.refer(fieldImages, slices.Concat(uploads, f.uris))
	if err := f.values.size(&j.ask, string(picture.Match)); err != nil {
		return nil, err
	}
	return j, f.values.check(j)
}

// refer makes sources the job's reference pictures. Messages call them name.
func (j *job) refer(name string, sources []*source) {
	j.pictures, j.sources = name, sources
	for _, src := range sources {
		j.ask.References = append(j.ask.References, src)
	}
}

// job reads the fields that all paths have in common. known are the fields of the path. The path then adds its own
// fields to the job's ask, and checks it.
func (v values) job(known ...string) (*job, error) {
	ignored, err := v.settle(known...)
	if err != nil {
		return nil, err
	}
	j := &job{ignored: ignored, n: 1}
	if j.ask.Prompt, err = v.string(fieldPrompt); err != nil {
		return nil, err
	}
	if j.ask.Prompt == "" {
		return nil, invalid(fieldPrompt, "is required")
	}
	if j.model, err = v.string(fieldModel); err != nil {
		return nil, err
	}
	if j.ask.Seed, err = read(v, inference.FieldSeed, inference.ParseSeed); err != nil {
		return nil, err
	}
	if j.ask.Steps, err = read(v, inference.FieldSteps, inference.ParseSteps); err != nil {
		return nil, err
	}
	if j.ask.Guidance, err = read(v, inference.FieldGuidance, inference.ParseGuidance); err != nil {
		return nil, err
	}
	stream, given, err := v.truth(fieldStream)
	if err != nil {
		return nil, err
	}
	if given {
		j.stream = &stream
	}
	var compresses bool
	if j.format, compresses, err = v.format(); err != nil {
		return nil, err
	}
	if !compresses {
		j.ignored = append(j.ignored, fieldOutputCompression)
	}
	return j, nil
}

// read returns the number of a field of the engine's, nil if it is not given.
func read[T any](v values, field inference.Field, parse func(text string) (*T, error)) (*T, error) {
	value, ok := v.given(ourNames[field])
	if !ok {
		return nil, nil
	}
	if value.kind != formText && value.kind != jsonNumber {
		return nil, v.refuse(inference.FieldError{Field: field, Got: value.got(), Want: field.Want()})
	}
	x, err := parse(wholeNumber(value.text))
	if err != nil {
		return nil, v.refuse(err)
	}
	return x, nil
}

// aspectRatio reads the shape of the picture. In this API match is a size, not a shape.
func (v values) aspectRatio(ask *inference.Ask) error {
	text := v[fieldAspectRatio].text
	if text == string(picture.Match) {
		return v.refuse(inference.Unreadable(inference.FieldAspect, text))
	}
	ask.Aspect = picture.AspectRatio(text)
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
		return v.refuse(err, append(words, sizeAuto)...)
	}
	return nil
}

// check compares everything that the job asks for with its limits.
func (v values) check(j *job) (err error) {
	if j.checked, err = j.ask.Check(); err != nil {
		var e inference.FieldError
		if errors.As(err, &e) && e.Field == inference.FieldReferences && j.pictures != "" {
			return refusal(e, j.pictures, e.Want)
		}
		return v.refuse(err)
	}
	return j.format.check(j.checked.Prompt())
}

// refuse turns a FieldError into the reply to the client, with the name that the client used for the field. others are
// words that the field takes in addition to what the engine wants. It returns any other error as it is.
func (v values) refuse(err error, others ...string) error {
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

// refusal is the reply to a bad value of the field called name.
func refusal(e inference.FieldError, name, want string) *apiError {
	refused := invalid(name, "found %s, want %s", e.Got, want)
	refused.cause = e
	return refused
}

// shapes are the values of aspect_ratio.
func shapes() (names []string) {
	for _, a := range picture.AspectRatios() {
		if a != picture.Match { // which is a size here
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

// quote shows a client its value, or the beginning of it.
func quote(text string) string { return strconv.Quote(clip(text)) }
