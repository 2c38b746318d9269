package clients

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// wish is a request of a polite client.
type wish struct {
	kind, path, contentType string
	body                    []byte
	stream                  bool // the picture comes in an event stream
}

var pngHead = []byte("\x89PNG\r\n\x1a\n")

// wishes lists the requests of polite clients. A client picks one at random each time.
var wishes = []func() wish{
	func() wish {
		body := []byte(`{"prompt": "a red circle", "size": "64x64", "steps": 1}`)
		return wish{"text, JSON", "/v1/images/generations", "application/json", body, false}
	},
	func() wish { return formWish("text, form", false) },
	func() wish { return formWish("text, events", true) },
	func() wish { return formWish("picture, form", false, Picture(96)) },
	func() wish { return formWish("pictures, events", true, Picture(64), Picture(80)) },
	func() wish {
		uri := "data:image/png;base64," + base64.StdEncoding.EncodeToString(Picture(64))
		w := formWish("picture, data URI", false)
		w.contentType, w.body = form(map[string]string{
			"prompt": "a blue square", "size": "64x64", "steps": "1", "image_uris": `["` + uri + `"]`,
		})
		return w
	},
	func() wish {
		return wish{"models", "/v1/models", "", nil, false}
	},
}

// formWish returns a request for a picture, as a multipart form with reference pictures.
func formWish(kind string, stream bool, pictures ...[]byte) wish {
	contentType, body := form(map[string]string{
		"prompt": "a blue square", "size": "64x64", "steps": "1", "stream": strconv.FormatBool(stream),
	}, pictures...)
	return wish{kind, "/v1/generate", contentType, body, stream}
}

// form encodes a multipart form with pictures.
func form(fields map[string]string, pictures ...[]byte) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for name, value := range fields {
		_ = w.WriteField(name, value) // writing to memory cannot fail
	}
	for i, picture := range pictures {
		part, _ := w.CreateFormFile(fmt.Sprintf("images[%d]", i), "picture.png")
		_, _ = part.Write(picture)
	}
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}

// wantPicture sends a random wish and retries as the server tells it to. It records the wish as served, or as a fault.
func (c *client) wantPicture(ctx context.Context) {
	w := wishes[c.r.IntN(len(wishes))]()
	transport := &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return c.dial(ctx) },
		IdleConnTimeout: 2 * time.Second, // closes a connection that becomes idle after CloseIdleConnections
	}
	defer transport.CloseIdleConnections()
	// A wish that has begun is completed even after ctx has ended.
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Patience)
	defer cancel()
	begun := time.Now()
	retries := 0
	for {
		wait, err := c.ask(lasting, &http.Client{Transport: transport}, w)
		c.count.mu.Lock()
		switch {
		case err != nil && (wait == 0 || lasting.Err() != nil):
			c.count.report.Faults = append(c.count.report.Faults, fmt.Sprintf("%s, after %v and %d retries: %v",
				w.kind, time.Since(begun).Round(time.Millisecond), retries, err))
		case err == nil:
			c.count.report.served(w.kind, time.Since(begun))
		default:
			c.count.report.Retries++
		}
		c.count.mu.Unlock()
		if err == nil || wait == 0 || lasting.Err() != nil {
			return
		}
		retries++
		c.sleep(lasting, wait)
	}
}

// ask sends one request. If it fails and may be retried, wait is the time to wait first; else wait is 0.
func (c *client) ask(ctx context.Context, h *http.Client, w wish) (wait time.Duration, err error) {
	method := http.MethodPost
	if w.body == nil {
		method = http.MethodGet
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.Address+w.path, bytes.NewReader(w.body))
	if err != nil {
		return 0, err
	}
	c.identify(r.Header)
	r.Header.Set("Content-Type", w.contentType)
	c.count.request("")
	response, err := h.Do(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	c.count.answer(response.StatusCode)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, fmt.Errorf("status %d, then: %w", response.StatusCode, err)
	}
	if response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable {
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		if err != nil || seconds < 1 {
			return 0, fmt.Errorf("status %d with Retry-After %q", response.StatusCode, response.Header.Get("Retry-After"))
		}
		// Each client waits a little longer by a random time, so that clients that came together do not return together.
		wait = time.Duration(float64(seconds) * (1 + c.r.Float64()/2) * float64(time.Second))
		return wait, fmt.Errorf("status %d: %.200s", response.StatusCode, body)
	}
	if response.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %d: %.200s", response.StatusCode, body)
	}
	return 0, w.check(body)
}

// check returns an error if a reply does not contain what the wish asks for.
func (w wish) check(body []byte) error {
	picture := body
	switch {
	case w.body == nil:
		if !bytes.Contains(body, []byte(`"object"`)) {
			return fmt.Errorf("no list of models: %.100q", body)
		}
		return nil
	case w.stream:
		at := bytes.LastIndex(body, []byte("event: picture\ndata: "))
		if at < 0 {
			return fmt.Errorf("no picture in the events: %.300q", body[max(0, len(body)-300):])
		}
		var event struct {
			Image []byte `json:"image"`
		}
		text := strings.TrimSpace(string(body[at+len("event: picture\ndata: "):]))
		if err := json.Unmarshal([]byte(text), &event); err != nil {
			return err
		}
		picture = event.Image
	case w.contentType == "application/json":
		var reply struct {
			Data []struct {
				Picture []byte `json:"b64_json"`
			}
		}
		if err := json.Unmarshal(body, &reply); err != nil {
			return err
		}
		if len(reply.Data) != 1 {
			return errors.New("no picture in the reply")
		}
		picture = reply.Data[0].Picture
	}
	if !bytes.HasPrefix(picture, pngHead) || !bytes.Contains(picture[len(picture)-12:], []byte("IEND")) {
		return fmt.Errorf("the picture is not a complete PNG: %d bytes", len(picture))
	}
	return nil
}
