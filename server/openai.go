package server

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// maxPictures is the n of a request, as at OpenAI.
const maxPictures = 10

// imagesRequest holds those fields of OpenAI's image API that change something here. Others (quality, style, user,
// background, …) are taken and passed over, as clients send them always.
type imagesRequest struct {
	Prompt         string   `json:"prompt"`
	Model          string   `json:"model"`
	N              *int     `json:"n"`
	Size           string   `json:"size"`
	ResponseFormat string   `json:"response_format"`
	OutputFormat   string   `json:"output_format"`
	Stream         bool     `json:"stream"`
	Seed           *uint64  `json:"seed"` // these three are this server's
	Steps          *int     `json:"steps"`
	Guidance       *float64 `json:"guidance"`
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
		var ask imagesRequest
		if err := readJSON(r, &ask); err != nil {
			return nil, err
		}
		var err error
		images, err = ask.job(nil)
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
		f, err := readForm(r, "image", "image[]", fieldMask)
		if err != nil {
			return nil, err
		}
		ask, err := f.imagesRequest()
		if err != nil {
			return nil, err
		}
		images, err = ask.job(f)
		return images.job, err
	})
	if err != nil {
		return err
	}
	return s.answerImages(w, r, images, "image_edit")
}

// imagesRequest reads the text fields of a form as the JSON body's.
func (f *form) imagesRequest() (ask imagesRequest, err error) {
	v := f.values
	ask = imagesRequest{
		Prompt: v["prompt"], Model: v["model"], Size: v["size"],
		ResponseFormat: v["response_format"], OutputFormat: v["output_format"], Stream: v["stream"] == "true",
	}
	if text := v["n"]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return ask, invalid("n", "%s, want an integer from 1 to %d", quote(text), maxPictures)
		}
		ask.N = &n
	}
	if v[fieldSeed] != "" {
		seed, err := parseSeed(v[fieldSeed])
		if err != nil {
			return ask, err
		}
		ask.Seed = &seed
	}
	if v[fieldSteps] != "" {
		steps, err := parseSteps(v[fieldSteps])
		if err != nil {
			return ask, err
		}
		ask.Steps = &steps
	}
	if v[fieldGuidance] != "" {
		guidance, err := parseGuidance(v[fieldGuidance])
		if err != nil {
			return ask, err
		}
		ask.Guidance = &guidance
	}
	return ask, nil
}

// job checks a request; f holds the pictures to edit, nil where there are none.
func (ask imagesRequest) job(f *form) (images imagesJob, err error) {
	j := &job{model: ask.Model, aspect: picture.Square}
	images = imagesJob{job: j, n: 1, stream: ask.Stream}
	if j.request.Prompt, err = parsePrompt(ask.Prompt); err != nil {
		return images, err
	}
	if ask.N != nil {
		images.n = *ask.N
	}
	switch {
	case images.n < 1 || images.n > maxPictures:
		return images, invalid("n", "%d, want an integer from 1 to %d", images.n, maxPictures)
	case ask.ResponseFormat != "" && ask.ResponseFormat != "b64_json":
		return images, invalid("response_format", "%s, want b64_json: this server keeps no pictures", quote(ask.ResponseFormat))
	case ask.OutputFormat != "" && ask.OutputFormat != "png":
		return images, invalid("output_format", "%s, want png", quote(ask.OutputFormat))
	case ask.Steps != nil && (*ask.Steps < 1 || *ask.Steps > inference.MaxSteps):
		return images, invalid(fieldSteps, "%d, want an integer from 1 to %d", *ask.Steps, inference.MaxSteps)
	case ask.Guidance != nil && !(*ask.Guidance >= 0 && *ask.Guidance <= maxGuidance):
		return images, invalid(fieldGuidance, "%v, want a number from 0 to %d", *ask.Guidance, maxGuidance)
	}
	if ask.Steps != nil {
		j.request.Steps = *ask.Steps
	}
	if ask.Guidance != nil {
		j.request.Guidance = max(*ask.Guidance, 1)
	}
	if j.request.Seed, err = parseSeed(""); err != nil {
		return images, err
	}
	if ask.Seed != nil {
		j.request.Seed = *ask.Seed
	}
	if f != nil {
		if err := j.addImages(f); err != nil {
			return images, err
		}
	}
	if ask.Size == "" || ask.Size == "auto" {
		return images, nil
	}
	if j.size, err = picture.ParseSize(ask.Size); err != nil {
		return images, invalid(fieldSize, "%s, want auto, or WIDTHxHEIGHT in multiples of 16 from 64 to 2048", quote(ask.Size))
	}
	return images, nil
}

// addImages takes the pictures to edit; without a size the first one gives it.
func (j *job) addImages(f *form) error {
	if f.masked {
		return invalid(fieldMask, "is not supported; describe in the prompt what to change")
	}
	switch n := len(f.files); {
	case n == 0:
		return invalid("image", "is required")
	case n > inference.MaxReferences:
		return invalid("image", "%d pictures, want at most %d", n, inference.MaxReferences)
	}
	for i, data := range f.files {
		j.sources = append(j.sources, source{field: fmt.Sprintf("image[%d]", i), data: data})
	}
	j.aspect = picture.Match
	return nil
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
