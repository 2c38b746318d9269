package server

import (
	"net/http"

	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// The fields of OpenAI's image API that change something here and are on no other path.
const (
	fieldN              = "n"
	fieldResponseFormat = "response_format"
	fieldPartialImages  = "partial_images"
)

// imagesFields are the fields that OpenAI's paths know; seed, steps and guidance are this server's own.
var imagesFields = []string{
	fieldPrompt, fieldModel, fieldSeed, fieldSteps, fieldGuidance, fieldSize, fieldN, fieldResponseFormat,
	fieldOutputFormat, fieldOutputCompression, fieldStream, fieldPartialImages,
}

// imagesJob is a job for n pictures.
type imagesJob struct {
	*job
	url bool // the reply has data URLs
}

// imageGenerations is POST /v1/images/generations.
func (s *Server) imageGenerations(w *reply, r *http.Request) error {
	var images imagesJob
	_, err := s.accept(w, r, jsonWeight, func(r *http.Request) (*job, error) {
		v, err := readJSON(r)
		if err != nil {
			return nil, err
		}
		images, err = v.imagesJob()
		return images.job, err
	})
	if err != nil {
		return err
	}
	defer images.admission.end()
	return s.answerImages(w, r, images, imageGeneration)
}

// imageEdits is POST /v1/images/edits.
func (s *Server) imageEdits(w *reply, r *http.Request) error {
	var images imagesJob
	_, err := s.accept(w, r, formWeight, func(r *http.Request) (*job, error) {
		f, err := readForm(r)
		if err != nil {
			return nil, err
		}
		if images, err = f.values.imagesJob(); err != nil {
			return nil, err
		}
		return images.job, images.addImages(f)
	})
	if err != nil {
		return err
	}
	defer images.admission.end()
	return s.answerImages(w, r, images, imageEdit)
}

// imagesJob checks a request.
func (v values) imagesJob() (images imagesJob, err error) {
	if images.job, err = v.job(imagesFields...); err != nil {
		return images, err
	}
	images.aspect = picture.Square
	if images.n, err = v.integer(fieldN, 1, maxPictures, 1); err != nil {
		return images, err
	}
	if images.partials, err = v.integer(fieldPartialImages, 0, maxPartials, 0); err != nil {
		return images, err
	}
	const inJSON, asURL = "b64_json", "url"
	as, err := v.choice(fieldResponseFormat, inJSON, asURL)
	if err != nil {
		return images, err
	}
	images.url = as == asURL
	size, err := v.string(fieldSize)
	if err != nil || size == "" || size == sizeAuto {
		return images, err
	}
	if images.size, err = picture.ParseSize(size); err != nil {
		return images, invalid(fieldSize, "found %s, want auto, or WIDTHxHEIGHT in multiples of 16 from 64 to 2048", quote(size))
	}
	return images, nil
}

// addImages takes the pictures to edit; without a size the first one gives it.
func (j *job) addImages(f *form) (err error) {
	switch n := len(f.uploads); {
	case n == 0:
		return invalid("image", "is required")
	case n > inference.MaxReferences:
		return invalid("image", "%d pictures, want at most %d", n, inference.MaxReferences)
	}
	j.aspect = picture.Match
	j.sources, err = f.sources("image")
	return err
}
