package server

import (
	"bytes"
	"image/png"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

func TestGenerateHeaders(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	small := pngOf(t, 64, 80, 1)
	for _, row := range []struct {
		name                        string
		parts                       []part
		workflow, count, resolution string
	}{
		{"text to image", nil, "t2i", "", "1344x768"},
		{"square", []part{text("aspect_ratio", "square")}, "t2i", "", "1024x1024"},
		{"portrait", []part{text("aspect_ratio", "portrait")}, "t2i", "", "768x1344"},
		{"photo", []part{text("aspect_ratio", "photo")}, "t2i", "", "1248x832"},
		{"photo_v", []part{text("aspect_ratio", "photo_v")}, "t2i", "", "832x1248"},
		{"standard", []part{text("aspect_ratio", "standard")}, "t2i", "", "1184x896"},
		{"standard_v", []part{text("aspect_ratio", "standard_v")}, "t2i", "", "896x1184"},
		{"wide", []part{text("aspect_ratio", "wide")}, "t2i", "", "1568x672"},
		{"exact size goes first", []part{text("size", "64x80"), text("aspect_ratio", "wide")}, "t2i", "", "64x80"},
		{"size auto", []part{text("size", "auto"), text("aspect_ratio", "wide")}, "t2i", "", "1568x672"},
		{"one file", []part{file("images", "a.png", small)}, "i2i", "1", "1344x768"},
		{"one URI", []part{text("image_uris", `["`+dataURI(small)+`"]`), text("size", "match")}, "i2i", "1", "64x80"},
		{"two files", []part{file("images", "a.png", small), file("images", "b.png", small)}, "multi-ref", "2", "1344x768"},
		{"two files and two URIs", []part{
			text("image_uris", `["`+dataURI(small)+`", "`+dataURI(small)+`"]`), file("images", "a", small),
			file("images[]", "b", small),
		}, "multi-ref", "4", "1344x768"},
		{"empty fields are none", []part{text("image_uris", ""), text("seed", ""), text("size", ""), text("images", "")},
			"t2i", "", "1344x768"},
		{"unknown fields", []part{text("negative_prompt", ""), text("webhook", "x")}, "t2i", "", "1344x768"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := s.generateWith(t, append(row.parts, prompt())...)
			if g.status != http.StatusOK {
				t.Fatalf("%d %s", g.status, g.body)
			}
			for name, want := range map[string]string{
				"Content-Type": "image/png", "X-Workflow": row.workflow, "X-Reference-Count": row.count,
				"X-Resolution": row.resolution, "X-Model": "flux2-klein-4b",
			} {
				if have := g.header.Get(name); have != want {
					t.Errorf("%s: %q, want %q", name, have, want)
				}
			}
			config, err := png.DecodeConfig(bytes.NewReader(g.body))
			if have := (picture.Size{Width: config.Width, Height: config.Height}).String(); err != nil ||
				have != row.resolution {
				t.Errorf("the picture has %s, %v", have, err)
			}
			meta, err := picture.ReadMetadata(bytes.NewReader(g.body))
			if err != nil || meta.Prompt != "a fox" || meta.Version != "1.2.3" ||
				strconv.FormatUint(meta.Seed, 10) != g.header.Get("X-Seed") {
				t.Errorf("metadata %+v, %v, X-Seed %s", meta, err, g.header.Get("X-Seed"))
			}
		})
	}
}

// TestReferenceOrder checks that files come before URIs, whatever the order of the parts.
func TestReferenceOrder(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	g := s.generateWith(t,
		text("image_uris", `["`+dataURI(pngOf(t, 64, 64, 3))+`","`+dataURI(pngOf(t, 64, 64, 4))+`"]`),
		file("images", "1.png", pngOf(t, 64, 64, 1)), prompt(), file("images", "2.png", pngOf(t, 64, 64, 2)))
	if g.status != http.StatusOK {
		t.Fatalf("%d %s", g.status, g.body)
	}
	for i, ref := range engine.seen()[0].References() {
		if have := ref.Image.Pix[0]; int(have) != i+1 {
			t.Errorf("reference %d is picture %d", i+1, have)
		}
	}
}

func TestGenerateRequest(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	g := s.generateWith(t, text("prompt", "ein Fuchs, 狐\n"), text("seed", "18446744073709551615"), text("steps", "7"),
		text("guidance", "2.5"))
	have := engine.seen()[0]
	if g.header.Get("X-Seed") != "18446744073709551615" || have.Prompt() != "ein Fuchs, 狐\n" || have.Seed() != 1<<64-1 ||
		have.Steps() != 7 || have.Guidance() != 2.5 {
		t.Errorf("%+v, X-Seed %s", have, g.header.Get("X-Seed"))
	}
	// 0 means no guidance, as 1 does.
	s.generateWith(t, prompt(), text("guidance", "0"))
	if have := engine.seen()[1]; have.Guidance() != 1 || have.Steps() != 4 {
		t.Errorf("%+v", have)
	}
	a, b := s.generateWith(t, prompt()), s.generateWith(t, prompt())
	if a.header.Get("X-Seed") == b.header.Get("X-Seed") ||
		a.header.Get("X-Generation-Id") == b.header.Get("X-Generation-Id") {
		t.Error("two pictures share a seed or an id")
	}
}

func TestGenerateRefuses(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, func(o *Options, _ *limits) { o.MaxBodyBytes = 1 << 20 })
	small := pngOf(t, 64, 64, 1)
	uri := dataURI(small)
	ok := prompt()
	for _, row := range []struct {
		name   string
		parts  []part
		status int
		want   string
	}{
		{"no prompt", []part{text("model", "flux2-klein-4b")}, 422, "prompt: is required"},
		{"empty prompt", []part{text("prompt", "")}, 422, "prompt: is required"},
		{"long prompt", []part{text("prompt", strings.Repeat("x", maxFieldBytes+1))}, 422, "prompt: more than 65536 bytes"},
		{"prompt not UTF-8", []part{text("prompt", "\xff")}, 422, "prompt: found byte 0xff at byte 0, want UTF-8 text"},
		{"prompt with a NUL", []part{text("prompt", "a\x00")}, 422, "prompt: found a NUL at byte 1, want UTF-8 text"},
		{"prompt twice", []part{ok, ok}, 422, "prompt: given twice"},
		{"another model", []part{ok, text("model", "flux3")}, 422, `model: "flux3", want flux2-klein-4b`},
		{"aspect ratio", []part{ok, text("aspect_ratio", "Square")}, 422,
			`aspect_ratio: found "Square", want one of square, landscape, portrait, photo, photo_v, standard, standard_v, wide`},
		{"aspect ratio beside a size", []part{ok, text("size", "64x80"), text("aspect_ratio", "Square")}, 422,
			`aspect_ratio: found "Square", want one of`},
		{"match is no aspect ratio", []part{ok, text("aspect_ratio", "match")}, 422, "aspect_ratio: "},
		{"negative seed", []part{ok, text("seed", "-2")}, 422,
			`seed: found -2, want a whole number from 0 to 18446744073709551615, or -1`},
		{"steps", []part{ok, text("steps", "0")}, 422, `steps: found 0, want a whole number from 1 to 1000`},
		{"guidance", []part{ok, text("guidance", "NaN")}, 422, `guidance: found NaN, want a number from 0 to 100`},
		{"size", []part{ok, text("size", "100x100")}, 422,
			`size: found 100x100, want each side a multiple of 16 from 64 to 2048; the nearest size is 96x96`},
		{"match without references", []part{ok, text("size", "match")}, 422,
			"images: found none, want at least one to match the size of"},
		{"five files", []part{ok, file("images", "a", small), file("images", "a", small), file("images", "a", small),
			file("images", "a", small), file("images", "a", small)}, 422, "images: found 5 reference pictures"},
		{"three and two", []part{ok, file("images", "a", small), file("images", "a", small), file("images", "a", small),
			text("image_uris", `["`+uri+`","`+uri+`"]`)}, 422, "images: found 5 reference pictures, want at most 4"},
		{"URIs not JSON", []part{ok, text("image_uris", uri)}, 422, "image_uris: want a JSON array"},
		{"URIs of numbers", []part{ok, text("image_uris", "[1]")}, 422, "image_uris: want a JSON array"},
		{"file URI", []part{ok, text("image_uris", `["file:///etc/passwd"]`)}, 422,
			"image_uris[0]: want a data URI, or an http"},
		{"user name in a URI", []part{ok, text("image_uris", `["http://a:b@example.com/"]`)}, 422,
			"image_uris[0]: want a data URI, or an http"},
		{"URL not allowed", []part{ok, text("image_uris", `["`+uri+`", "https://example.com/a.png"]`)}, 422,
			"image_uris[1]: URLs are not fetched by this server"},
		{"bad base64", []part{ok, text("image_uris", `["data:image/png;base64,%%%"]`)}, 422,
			"image_uris[0]: is not valid base64"},
		{"data URI without base64", []part{ok, text("image_uris", `["data:image/png,abc"]`)}, 422,
			"image_uris[0]: want data:image"},
		{"no picture", []part{ok, file("images", "a.png", []byte("hello, hello, hello"))}, 415, "images[0]: picture: "},
		{"empty file", []part{ok, file("images", "a.png", nil)}, 415, "images[0]: picture: "},
		{"cut picture", []part{ok, file("images", "a.png", small), file("images", "b.png", small[:len(small)/2])}, 415,
			"images[1]: picture: PNG"},
		{"small picture", []part{ok, file("images", "a.png", pngOf(t, 32, 64, 1))}, 422,
			"images[0]: picture: found 32x64 pixels, want at least 64 a side"},
		{"strip", []part{ok, file("images", "a.png", pngOf(t, 72, 72*9, 1))}, 422, "want at most 8:1"},
		{"oversize", []part{ok, file("images", "a.png", make([]byte, 1<<20))}, 413, "body: more than 1048576 bytes"},
		{"many parts", append(make([]part, 0), manyParts(maxParts+1)...), 400, "multipart: more than 64 parts"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := s.generateWith(t, row.parts...)
			if g.status != row.status || !strings.Contains(g.detail(), row.want) {
				t.Errorf("%d %s; want %d %s", g.status, g.body, row.status, row.want)
			}
		})
	}
	if n := engine.runs(); n != 0 {
		t.Errorf("the engine ran %d times", n)
	}
}

func manyParts(n int) (list []part) {
	for i := range n {
		list = append(list, text("x"+strconv.Itoa(i), ""))
	}
	return list
}

func TestMalformedBodies(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	contentType, body := formOf(t, prompt(), file("images", "a.png", pngOf(t, 64, 64, 1)))
	for _, row := range []struct {
		name, contentType, body string
		status                  int
	}{
		{"JSON", "application/json", `{"prompt": "x"}`, 415},
		{"no content type", "", string(body), 415},
		{"no boundary", "multipart/form-data", string(body), 400},
		{"another boundary", "multipart/form-data; boundary=other", string(body), 400},
		{"empty", contentType, "", 400},
		{"cut in a header", contentType, string(body[:70]), 400},
		{"cut in a file", contentType, string(body[:len(body)-100]), 400},
		{"no last boundary", contentType, string(body[:len(body)-6]), 400},
		{"a part without a name", "multipart/form-data; boundary=b",
			"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n", 400},
		{"a part without a disposition", "multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--b--\r\n", 400},
		{"a broken header", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition form-data\r\n\r\nx\r\n--b--\r\n",
			400},
		{"headers without end", "multipart/form-data; boundary=b", "--b\r\n" + strings.Repeat("A: b\r\n", 20000), 400},
	} {
		t.Run(row.name, func(t *testing.T) {
			if g := s.post(t, "/v1/generate", row.contentType, []byte(row.body)); g.status != row.status || g.detail() == "" {
				t.Errorf("%d %s, want %d", g.status, g.body, row.status)
			}
		})
	}
	if n := engine.runs(); n != 0 {
		t.Errorf("the engine ran %d times", n)
	}
}

func TestPromptsAreNotLogged(t *testing.T) {
	for _, on := range []bool{false, true} {
		s := start(t, &fakeEngine{}, func(o *Options, _ *limits) { o.LogPrompts = on })
		s.generateWith(t, text("prompt", "my private fox"))
		s.generateWith(t, text("prompt", "my private fox"), text("size", "1x1"))
		s.post(t, "/v1/images/generations", "application/json", []byte(`{"prompt": "my private fox"}`))
		if have := strings.Contains(s.log.String(), "private"); have != on {
			t.Errorf("LogPrompts %v: the log is %s", on, s.log)
		}
		if log := s.log.String(); strings.Contains(log, testToken) || !strings.Contains(log, string(inference.TextToImage)) {
			t.Errorf("the log is %s", log)
		}
	}
}

// TestBodiesGiveTheirMemoryBack sends bodies of known and unknown length, valid, malformed and cut off, and checks that
// the budget is free afterwards.
func TestBodiesGiveTheirMemoryBack(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) { o.MaxBodyBytes = 1 << 20 })
	contentType, body := formOf(t, prompt(), text("size", "64x64"), file("images", "a.png", pngOf(t, 64, 64, 1)))
	for _, row := range []struct {
		name   string
		body   io.Reader
		header string
		status int
	}{
		{"known length", bytes.NewReader(body), "", 200},
		{"chunked", struct{ io.Reader }{bytes.NewReader(body)}, "", 200},
		{"asked first", bytes.NewReader(body), "100-continue", 200},
		{"chunked and too long", struct{ io.Reader }{io.MultiReader(bytes.NewReader(body[:len(body)-10]),
			bytes.NewReader(make([]byte, 2<<20)))}, "", 413},
		{"asked first and too long", bytes.NewReader(make([]byte, 2<<20)), "100-continue", 413},
		{"cut", bytes.NewReader(body[:len(body)/2]), "", 400},
	} {
		r, err := http.NewRequest(http.MethodPost, s.url("/v1/generate"), row.body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		if row.header != "" {
			r.Header.Set("Expect", row.header)
		}
		if g, err := s.send(r); err != nil || g.status != row.status {
			t.Errorf("%s: %d %s %v, want %d", row.name, g.status, g.body, err, row.status)
		}
	}
	eventually(t, "all memory is free", func() bool { return s.memory.inUse() == 0 && s.queue.held() == 0 })
}
