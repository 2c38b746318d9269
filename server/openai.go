package server

import (
	"net/http"

	"kleinbild/inference/picture"
)

// The fields of OpenAI's image API that have an effect and that no other path has.
const (
	fieldN              = "n"
	fieldResponseFormat = "response_format"
	fieldPartialImages  = "partial_images"
)

// imagesFields are the fields of OpenAI's paths. Seed, steps and guidance are additions of this server.
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
		if images, err = v.imagesJob(); err != nil {
			return nil, err
		}
		if images.ask.Size == nil {
			images.ask.Aspect = picture.Square
		}
		return images.job, v.check(images.job)
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
		if err := images.addImages(f); err != nil {
			return nil, err
		}
		return images.job, f.values.check(images.job)
	})
	if err != nil {
		return err
	}
	defer images.admission.end()
	return s.answerImages(w, r, images, imageEdit)
}

// imagesJob reads the fields of a request, without its pictures.
func (v values) imagesJob() (images imagesJob, err error) {
	if images.job, err = v.job(imagesFields...); err != nil {
		return images, err
	}
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
	return images, v.size(&images.ask)
}

// addImages adds the pictures to edit. If the request has no size, the result has the size of the first one.
func (j *job) addImages(f *form) error {
	if len(f.uploads) == 0 {
		return invalid("image", "is required")
	}
	sources, err := f.sources("image")
	if err != nil {
		return err
	}
	j.refer("image", sources)
	if j.ask.Size == nil {
		j.ask.Aspect = picture.Match
	}
	return nil
}
