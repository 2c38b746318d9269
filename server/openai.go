package server

import (
	"net/http"
	"slices"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// The fields that have an effect on OpenAI's paths and on no other path.
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

// editsFields are the fields of POST /v1/images/edits, without pictures. OpenAI's clients know the mask alone of those
// that an edit of a part of image 1 has.
var editsFields = slices.Concat(imagesFields, editFields)

// imagesRequest is a request to one of OpenAI's paths.
type imagesRequest struct {
	*apiRequest
	url bool // the reply has data URLs instead of base64
}

// imageGenerations is POST /v1/images/generations.
func (s *Server) imageGenerations(w *reply, r *http.Request) error {
	var images imagesRequest
	_, err := s.accept(w, r, jsonWeight, func(r *http.Request) (*apiRequest, error) {
		v, err := readJSON(r)
		if err != nil {
			return nil, err
		}
		if images, err = v.imagesRequest(imagesFields...); err != nil {
			return nil, err
		}
		if images.ask.Size == nil {
			images.ask.Aspect = picture.Square
		}
		return images.apiRequest, v.check(images.apiRequest)
	})
	if err != nil {
		return err
	}
	defer images.admission.end()
	return s.answerImages(w, r, images, imageGeneration)
}

// imageEdits is POST /v1/images/edits.
func (s *Server) imageEdits(w *reply, r *http.Request) error {
	var images imagesRequest
	_, err := s.accept(w, r, formWeight, func(r *http.Request) (*apiRequest, error) {
		f, err := readForm(r)
		if err != nil {
			return nil, err
		}
		images, err = f.edits(s.opts.AllowRemoteURIs)
		return images.apiRequest, err
	})
	if err != nil {
		return err
	}
	defer images.admission.end()
	return s.answerImages(w, r, images, imageEdit)
}

// edits reads the fields of POST /v1/images/edits.
func (f *form) edits(allowRemote bool) (images imagesRequest, err error) {
	if err := f.values.remove(); err != nil {
		return images, err
	}
	if images, err = f.values.imagesRequest(editsFields...); err != nil {
		return images, err
	}
	if err := images.addImages(f); err != nil {
		return images, err
	}
	if err := f.edit(images.apiRequest, true, allowRemote); err != nil {
		return images, err
	}
	// OpenAI's clients send a size with a mask. The picture keeps the size of image 1, because it keeps its pixels.
	if e := images.ask.Edit; e != nil && e.NeedsOriginal() && images.ask.Size != nil {
		images.ask.Size, images.ask.Aspect = nil, picture.Match
		images.ignored = append(images.ignored, fieldSize)
	}
	return images, f.values.check(images.apiRequest)
}

// imagesRequest reads the fields of a request to one of OpenAI's paths, without its pictures. known are the names of
// all fields of the path.
func (v values) imagesRequest(known ...string) (images imagesRequest, err error) {
	if images.apiRequest, err = v.apiRequest(known...); err != nil {
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
func (req *apiRequest) addImages(f *form) error {
	if len(f.uploads) == 0 {
		return invalid("image", "is required")
	}
	sources, err := f.sources("image")
	if err != nil {
		return err
	}
	req.refer("image", sources)
	if req.ask.Size == nil {
		req.ask.Aspect = picture.Match
	}
	return nil
}
