package server

import (
	"math"
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

// generateFields are what POST /v1/generate knows, beside pictures.
var generateFields = []string{
	fieldPrompt, fieldModel, fieldAspectRatio, fieldImageURIs, fieldSeed, fieldSteps, fieldGuidance, fieldSize,
	fieldOutputFormat, fieldOutputCompression, fieldStream,
}

const (
	sizeAuto = "auto" // the same as none
	sizeWant = "want WIDTHxHEIGHT in multiples of 16 from 64 to 2048, or match"
)

// job is what a client asks for.
type job struct {
	model     string
	request   inference.Request // without size and references
	aspect    picture.AspectRatio
	size      picture.Size // exact, where not zero
	sources   []source
	n         int      // pictures
	ignored   []string // names of fields that were passed over
	admission *admission

	format   format // of the finished pictures
	stream   *bool  // asked for, or not, by a field
	partials int    // previews in a stream
}

// source is a reference picture before it is decoded: bytes, or an address to fetch them from.
type source struct {
	field string // for messages
	data  chunks
	url   *url.URL
}

// parse reads the fields of POST /v1/generate.
func (f *form) parse(allowRemote bool) (*job, error) {
	j, err := f.values.job(generateFields...)
	if err != nil {
		return nil, err
	}
	if j.aspect, err = parseAspect(f.values[fieldAspectRatio].text); err != nil {
		return nil, err
	}
	if j.sources, err = f.sources(fieldImages); err != nil {
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
	j.sources = append(j.sources, f.uris...)
	if n := len(j.sources); n > inference.MaxReferences {
		return nil, invalid(fieldImages, "%d reference pictures together with image_uris, want at most %d", n, inference.MaxReferences)
	}
	return j, j.parseSize(f.values[fieldSize].text)
}

// job reads the fields that all paths have, of those that a path knows.
func (v values) job(known ...string) (*job, error) {
	ignored, err := v.settle(known...)
	if err != nil {
		return nil, err
	}
	j := &job{ignored: ignored, n: 1}
	prompt, err := v.string(fieldPrompt)
	if err != nil {
		return nil, err
	}
	if j.request.Prompt, err = parsePrompt(prompt); err != nil {
		return nil, err
	}
	if j.model, err = v.string(fieldModel); err != nil {
		return nil, err
	}
	if j.request.Seed, err = v.seed(); err != nil {
		return nil, err
	}
	if j.request.Steps, err = v.integer(fieldSteps, 1, inference.MaxSteps, 0); err != nil {
		return nil, err
	}
	const none = -1
	guidance, err := v.number(fieldGuidance, 0, maxGuidance, none)
	if err != nil {
		return nil, err
	}
	if guidance != none {
		// To the engine 0 means the model's default; 1 is as little guidance as 0.
		j.request.Guidance = max(guidance, 1)
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
	if err := j.format.check(j.request.Prompt); err != nil {
		return nil, err
	}
	if !compresses {
		j.ignored = append(j.ignored, fieldOutputCompression)
	}
	return j, nil
}

func parsePrompt(text string) (string, error) {
	if text == "" {
		return "", invalid(fieldPrompt, "is required")
	}
	prompt, err := inference.ParsePrompt(text)
	if err != nil {
		return "", invalid(fieldPrompt, "%s", strings.TrimPrefix(err.Error(), "prompt: "))
	}
	return prompt, nil
}

// parseSeed draws one where none is given, or -1 is.
func parseSeed(text string) (uint64, error) {
	if text == "" {
		return inference.RandomSeed(), nil
	}
	seed, err := inference.ParseSeed(text)
	if err != nil {
		return 0, invalid(fieldSeed, "%s, want an integer from 0 to %d, or -1 for a random one", quote(text), uint64(math.MaxUint64))
	}
	return seed, nil
}

func parseAspect(text string) (picture.AspectRatio, error) {
	if text == "" {
		return picture.DefaultAspectRatio, nil
	}
	names := picture.AspectRatios()
	names = names[:len(names)-1] // without match, which is a size here
	if aspect := picture.AspectRatio(text); slices.Contains(names, aspect) {
		return aspect, nil
	}
	var list []string
	for _, name := range names {
		list = append(list, string(name))
	}
	return "", invalid(fieldAspectRatio, "%s, want one of %s", quote(text), strings.Join(list, ", "))
}

// parseSize reads an exact size, which goes before the aspect ratio.
func (j *job) parseSize(text string) (err error) {
	switch {
	case text == "", text == sizeAuto:
		return nil
	case text == string(picture.Match) && len(j.sources) == 0:
		return invalid(fieldSize, "match needs a reference picture")
	case text == string(picture.Match):
		j.aspect = picture.Match
		return nil
	}
	if j.size, err = picture.ParseSize(text); err != nil {
		return invalid(fieldSize, "%s, %s", quote(text), sizeWant)
	}
	return nil
}

// parseURL reads an address to fetch a picture from.
func parseURL(field, text string) (source, error) {
	address, err := url.Parse(text)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" || address.User != nil {
		return source{}, invalid(field, "want a data URI, or an http or https URL without a user name")
	}
	return source{field: field, url: address}, nil
}

// quote shows a client its value, or the beginning of it.
func quote(text string) string { return strconv.Quote(clip(text)) }
