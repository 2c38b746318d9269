package server

import (
	"encoding/base64"
	"net/http"
	"time"

	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// maxPictures is the n of a request, as at OpenAI.
const maxPictures = 10

// imagesFields are those fields of OpenAI's image API that change something here; seed, steps and guidance are this
// server's own.
var imagesFields = []string{
	fieldPrompt, fieldModel, fieldSeed, fieldSteps, fieldGuidance, fieldSize, "n", "response_format", "output_format", "stream",
}

// imagesJob is a job for n pictures.
type imagesJob struct {
	*job
	n      int
	stream bool
}

// imagesReply is OpenAI's reply.
type imagesReply struct {
	Created int64       `json:"created"`
	Data    []imageItem `json:"data"`
}

type imageItem struct {
	B64JSON string `json:"b64_json"`
}

// imageGenerations is POST /v1/images/generations.
func (s *Server) imageGenerations(w *reply, r *http.Request) error {
	var images imagesJob
	_, err := s.accept(w, r, func(r *http.Request) (*job, error) {
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
	return s.answerImages(w, r, images, "image_generation")
}

// imageEdits is POST /v1/images/edits.
func (s *Server) imageEdits(w *reply, r *http.Request) error {
	var images imagesJob
	_, err := s.accept(w, r, func(r *http.Request) (*job, error) {
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
	return s.answerImages(w, r, images, "image_edit")
}

// imagesJob checks a request.
func (v values) imagesJob() (images imagesJob, err error) {
	if images.job, err = v.job(imagesFields...); err != nil {
		return images, err
	}
	images.aspect = picture.Square
	if images.n, err = v.integer("n", 1, maxPictures, 1); err != nil {
		return images, err
	}
	if images.stream, _, err = v.truth("stream"); err != nil {
		return images, err
	}
	if _, err = v.choice("response_format", "b64_json"); err != nil {
		return images, err
	}
	if _, err = v.choice("output_format", "png"); err != nil {
		return images, err
	}
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

// answerImages makes the pictures one after the other, with seeds counting up; each waits for a turn of its own.
func (s *Server) answerImages(w *reply, r *http.Request, images imagesJob, kind string) error {
	if images.stream || wantsEvents(r) {
		return s.streamImages(w, r, images, kind)
	}
	list := imagesReply{Data: []imageItem{}}
	for range images.n {
		m, err := s.make(w, r, images.job, watcher{})
		if err != nil {
			return err
		}
		list.Data = append(list.Data, imageItem{base64.StdEncoding.EncodeToString(m.png)})
		m.setHeaders(w.Header())
		images.request.Seed++
	}
	list.Created = time.Now().Unix()
	return w.json(http.StatusOK, list)
}

// completedEvent is OpenAI's event for a finished picture.
type completedEvent struct {
	Type         string `json:"type"`
	B64JSON      string `json:"b64_json"`
	CreatedAt    int64  `json:"created_at"`
	Size         string `json:"size"`
	OutputFormat string `json:"output_format"`
}

func (s *Server) streamImages(w *reply, r *http.Request, images imagesJob, kind string) error {
	for range images.n {
		m, err := s.makeWatched(w, r, images.job, func(before int) error {
			return w.event(kind+".queued", struct {
				Type string `json:"type"`
				queuedEvent
			}{kind + ".queued", queuedEvent{before}})
		}, func(p inference.Progress) error {
			return w.event(kind+".progress", struct {
				Type string `json:"type"`
				progressEvent
			}{kind + ".progress", newProgressEvent(p)})
		})
		if err != nil {
			return err
		}
		name := kind + ".completed"
		err = w.event(name, completedEvent{name, base64.StdEncoding.EncodeToString(m.png), time.Now().Unix(), m.request.Size.String(), "png"})
		if err != nil {
			return err
		}
		images.request.Seed++
	}
	return nil
}
