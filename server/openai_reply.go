package server

import (
	"image"
	"net/http"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// The prefixes of the names of OpenAI's events.
const (
	imageGeneration = "image_generation"
	imageEdit       = "image_edit"
)

// Fields of OpenAI's replies that are the same for all our pictures: none is transparent, and there is only one
// quality.
const (
	background    = "opaque"
	pictureEffort = "auto"
)

// imagesReply is a reply in OpenAI's format.
type imagesReply struct {
	Created      int64       `json:"created"`
	Background   string      `json:"background"`
	Data         []imageItem `json:"data"`
	OutputFormat string      `json:"output_format"`
	Size         string      `json:"size"`
	Usage        usage       `json:"usage"`
}

// imageItem is one picture. One of its fields is set.
type imageItem struct {
	B64JSON string `json:"b64_json,omitempty"`
	URL     string `json:"url,omitempty"`
}

// usage counts tokens: the text tokens that the model reads, and one token for every 16×16 pixels.
type usage struct {
	InputTokens  int          `json:"input_tokens"`
	InputDetails inputDetails `json:"input_tokens_details"`
	OutputTokens int          `json:"output_tokens"`
	TotalTokens  int          `json:"total_tokens"`
}

type inputDetails struct {
	ImageTokens int `json:"image_tokens"`
	TextTokens  int `json:"text_tokens"`
}

func usageOf(request inference.Request, meta picture.Metadata) usage {
	tokens := func(size picture.Size) int { return size.Width / 16 * (size.Height / 16) }
	u := usage{OutputTokens: tokens(request.Size()), InputDetails: inputDetails{TextTokens: meta.MaxSequenceLength}}
	for _, ref := range request.References() {
		u.InputDetails.ImageTokens += tokens(ref.Reference.Size)
	}
	u.InputTokens = u.InputDetails.ImageTokens + u.InputDetails.TextTokens
	u.TotalTokens = u.InputTokens + u.OutputTokens
	return u
}

func (u *usage) add(more usage) {
	u.InputTokens += more.InputTokens
	u.InputDetails.ImageTokens += more.InputDetails.ImageTokens
	u.InputDetails.TextTokens += more.InputDetails.TextTokens
	u.OutputTokens += more.OutputTokens
	u.TotalTokens += more.TotalTokens
}

// answerImages makes the pictures one after another. The seed increases by one from picture to picture, and each
// picture waits for a turn of its own. kind is the prefix of the names of events.
func (s *Server) answerImages(w *reply, r *http.Request, images imagesRequest, kind string) error {
	if wantsEvents(r, images.stream, "application/json") {
		return s.streamImages(w, r, images, kind)
	}
	if images.partials > 0 {
		images.warn(w.Header(), fieldPartialImages)
	}
	var files [][]byte
	list := imagesReply{Data: []imageItem{}, Background: background, OutputFormat: images.format.name}
	for range images.n {
		m, err := s.make(w, r, images.apiRequest, watcher{})
		if err != nil {
			return err
		}
		files = append(files, m.file)
		item := imageItem{B64JSON: filePlace}
		if images.url {
			item = imageItem{URL: "data:" + images.format.contentType() + ";base64," + filePlace}
		}
		list.Data = append(list.Data, item)
		list.Size = m.request.Size().String()
		list.Usage.add(m.usage)
		m.setHeaders(w.Header())
		images.checked = images.checked.WithSeed(images.checked.Seed() + 1)
	}
	list.Created = time.Now().Unix()
	return w.json(http.StatusOK, list, files...)
}

// imageEvent holds the fields that OpenAI's two events share.
type imageEvent struct {
	Type         string `json:"type"`
	B64JSON      string `json:"b64_json"`
	Background   string `json:"background"`
	CreatedAt    int64  `json:"created_at"`
	OutputFormat string `json:"output_format"`
	Quality      string `json:"quality"`
	Size         string `json:"size"`
}

// partialEvent is OpenAI's event for a preview, completedEvent that for a finished picture. A stream has no other
// events but errors, because OpenAI's client libraries do not accept them.
type partialEvent struct {
	imageEvent
	PartialImageIndex int `json:"partial_image_index"`
}

type completedEvent struct {
	imageEvent
	Usage usage `json:"usage"`
}

func (s *Server) streamImages(w *reply, r *http.Request, images imagesRequest, kind string) error {
	event := func(name string, size picture.Size) imageEvent {
		return imageEvent{
			kind + name, filePlace, background, time.Now().Unix(), images.format.name, pictureEffort,
			size.String(),
		}
	}
	if images.partials > 0 {
		images.checked = images.checked.WithPreviews()
	}
	for range images.n {
		index := 0
		m, err := s.makeWatched(w, r, images.apiRequest, reporter{
			queued:   func(int) error { return w.begin() },
			progress: func(inference.Progress) error { return w.begin() },
			partial: func(preview *image.RGBA) error {
				size := previewSize(images.request.PictureSize())
				file, err := images.format.encodePreview(preview, size)
				if err != nil {
					return err
				}
				e := partialEvent{event(".partial_image", size), index}
				index++
				return w.event(e.Type, e, file)
			},
		})
		if err != nil {
			return err
		}
		e := completedEvent{event(".completed", m.request.PictureSize()), m.usage}
		if err := w.event(e.Type, e, m.file); err != nil {
			return err
		}
		images.checked = images.checked.WithSeed(images.checked.Seed() + 1)
	}
	return nil
}
