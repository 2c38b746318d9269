package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestPictureNames checks the names that clients use for pictures, and the order of the pictures.
func TestPictureNames(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	pictures := func(names ...string) (parts []part) {
		for i, name := range names {
			parts = append(parts, file(name, "x.png", pngOf(t, 64, 64, uint8(i+1))))
		}
		return append(parts, prompt(), text("size", "64x64"))
	}
	for _, row := range []struct {
		name  string
		parts []part
		order []uint8 // the expected order; pictures are numbered as they are sent
	}{
		{"image", pictures("image"), []uint8{1}},
		{"images", pictures("images", "images"), []uint8{1, 2}},
		{"image[]", pictures("image[]", "image[]"), []uint8{1, 2}},
		{"images[]", pictures("images[]"), []uint8{1}},
		{"numbers from 0", pictures("image[0]", "image[1]"), []uint8{1, 2}},
		{"numbers in another order", pictures("images[10]", "images[9]", "images[2]"), []uint8{3, 2, 1}},
		{"numbers of both names", pictures("images[2]", "image[1]"), []uint8{2, 1}},
		{"without a number first", pictures("image[1]", "images[0]", "image", "images[]"), []uint8{3, 4, 2, 1}},
	} {
		for _, path := range []string{"/v1/generate", "/v1/images/edits"} {
			t.Run(row.name+" "+path, func(t *testing.T) {
				contentType, body := formOf(t, row.parts...)
				if g := s.post(t, path, contentType, body); g.status != http.StatusOK {
					t.Fatalf("%d %s", g.status, g.body)
				}
				requests := engine.seen()
				var have []uint8
				for _, ref := range requests[len(requests)-1].References() {
					have = append(have, ref.Image.Pix[0])
				}
				if fmt.Sprint(have) != fmt.Sprint(row.order) {
					t.Errorf("references %v, want %v", have, row.order)
				}
			})
		}
	}
}

// TestFilesRefused checks that a request with a file that is not a reference picture is refused.
func TestFilesRefused(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	small := pngOf(t, 64, 64, 1)
	for _, row := range []struct {
		name, want string
		status     int
		files      []part
	}{
		{"another name", "photo: found a file, want pictures as image, images,", 422, []part{file("photo", "x.png", small)}},
		{"no number", "image[x]: found a file", 422, []part{file("image[x]", "x.png", small)}},
		{"negative number", "image[-1]: found a file", 422, []part{file("image[-1]", "x.png", small)}},
		{"huge number", "image[1234567890]: found a file", 422, []part{file("image[1234567890]", "x.png", small)}},
		{"control characters", "a\uFFFDb: found a file", 422, []part{file("a\tb", "x.png", small)}},
		{"a field of text", "size: found a file, want text (with curl: -F 'size=<FILE')", 422,
			[]part{file("size", "x.txt", []byte("64x64"))}},
		{"two masks", "mask: given twice", 422, []part{file("image", "x.png", small), file("mask", "m.png", small),
			file("mask", "m.png", small)}},
		{"a number twice", "images[1]: found two pictures of this number", 422,
			[]part{file("image[1]", "x", small), file("images[1]", "x", small)}},
		{"five", "5 ", 422, []part{file("image", "x", small), file("images", "x", small), file("image[]", "x", small),
			file("images[2]", "x", small), file("image[1]", "x", small)}},
		{"no picture", "image[7]: picture: ", 415, []part{file("image[7]", "x", []byte("hello, hello"))}},
		{"large", "body: more than", 413, []part{file("image[7]", "x", make([]byte, 1<<20))}},
	} {
		for _, path := range []string{"/v1/generate", "/v1/images/edits"} {
			t.Run(row.name+" "+path, func(t *testing.T) {
				s.opts.MaxBodyBytes = 1 << 20
				contentType, body := formOf(t, append(row.files, prompt())...)
				if g := s.post(t, path, contentType, body); g.status != row.status || !strings.Contains(g.detail(), row.want) {
					t.Errorf("%d %s, want %d %s", g.status, g.body, row.status, row.want)
				}
			})
		}
	}
	// A part is also a file if its content type says so.
	body := "--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nx\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"photo\"\r\nContent-Type: image/png\r\n\r\nx\r\n--b--\r\n"
	if g := s.post(t, "/v1/generate", "multipart/form-data; boundary=b", []byte(body)); g.status != 422 ||
		!strings.Contains(g.detail(), "photo: found a file") {
		t.Errorf("%d %s", g.status, g.body)
	}
	// A browser sends an empty part for a file input without a file. It is not a file.
	if g := s.post(t, "/v1/generate", "multipart/form-data; boundary=b", []byte(strings.NewReplacer(
		"name=\"photo\"", "name=\"images\"; filename=\"\"", "image/png\r\n\r\nx", "application/octet-stream\r\n\r\n",
	).Replace(body))); g.status != 200 {
		t.Errorf("%d %s", g.status, g.body)
	}
	if n := engine.runs(); n != 1 {
		t.Errorf("the engine ran %d times, want once", n)
	}
}

// TestForeignFields checks that a field of another program is used, refused, or named in a warning.
func TestForeignFields(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	for _, row := range []struct {
		name, form, json string // the same fields repeated: name=value pairs, and members of an object
		status           int
		want             string // the error, or the warning
		size             string
		steps            int
		guidance         float64
	}{
		{"steps", "num_inference_steps=7", `"num_inference_steps": 7`, 200, "", "", 7, 1},
		{"guidance", "guidance_scale=2.5", `"guidance_scale": 2.5`, 200, "", "", 4, 2.5},
		{"size", "width=128 height=64", `"width": 128, "height": 64.0`, 200, "", "128x64", 4, 1},
		{"wrong steps", "num_inference_steps=0", `"num_inference_steps": 0`, 422, "num_inference_steps: found ", "", 0, 0},
		{"steps twice", "num_inference_steps=7 steps=7", `"num_inference_steps": 7, "steps": 7`, 422,
			"num_inference_steps: found together with steps", "", 0, 0},
		{"width alone", "width=128", `"width": 128`, 422, "width: found without height", "", 0, 0},
		{"height alone", "height=128", `"height": 128`, 422, "height: found without width", "", 0, 0},
		{"size twice", "width=64 height=64 size=64x64", `"width": 64, "height": 64, "size": "64x64"`, 422,
			"width: found together with size", "", 0, 0},
		{"odd width", "width=100 height=64", `"width": 100, "height": 64`, 422,
			"width and height: found 100x64, want each side a multiple of 16", "", 0, 0},
		{"negative prompt", "negative_prompt=cats", `"negative_prompt": "cats"`, 422,
			"negative_prompt: is not supported; say in the prompt", "", 0, 0},
		{"no negative prompt", "negative_prompt=", `"negative_prompt": " ", "loras": [], "strength": null`, 200, "", "", 4,
			1},
		{"strength of another program", "image_strength=0.5", `"image_strength": 0.5`, 422,
			"image_strength: is not supported", "", 0, 0},
		{"mask of another program", "mask_image=abc", `"mask_image": "data:image/png;base64,AAAA"`, 422,
			"mask_image: is not supported; want a mask as a file called mask", "", 0, 0},
		{"picture by URL", "image_url=http://x/", `"image_url": "http://x/"`, 422,
			"image_url: is not supported here; want pictures", "", 0, 0},
		{"sampler", "sampler_name=DDIM", `"sampler_name": "DDIM"`, 422, "sampler_name: is not supported", "", 0, 0},
		{"transparency", "background=transparent", `"background": "transparent"`, 422, `background: found "transparent"`, "",
			0, 0},
		{"several at once", "num_images=2", `"num_images": 2`, 422, "num_images: found ", "", 0, 0},
		{"one at once", "num_images=1", `"num_images": 1`, 200, "", "", 4, 1},
		{"without effect", "quality=high user=me", `"quality": "high", "user": "me"`, 200,
			`299 kleinbild "fields without effect: quality, user"`, "", 4, 1},
		{"the usual", "quality=auto background=opaque", `"quality": "auto", "background": "opaque", "user": null`, 200, "",
			"", 4, 1},
		{"a name for headers", "ä\"=x", `"ä\"": "x"`, 200, `299 kleinbild "fields without effect: ??"`, "", 4, 1},
	} {
		contentType, body := "application/json", []byte(`{"prompt": "a fox", `+row.json+`}`)
		check := func(t *testing.T, g got) {
			t.Helper()
			have := g.header.Get("Warning")
			if g.status != 200 {
				have = g.detail()
			}
			if g.status != row.status || !strings.Contains(have, row.want) || row.want == "" && have != "" {
				t.Fatalf("%d %q, want %d %q", g.status, have, row.status, row.want)
			}
			if g.status != 200 {
				return
			}
			requests := engine.seen()
			last := requests[len(requests)-1]
			if last.Steps() != row.steps || last.Guidance() != row.guidance || row.size != "" &&
				last.Size().String() != row.size {
				t.Errorf("%d steps, guidance %v, size %v", last.Steps(), last.Guidance(), last.Size())
			}
		}
		t.Run(row.name+", JSON", func(t *testing.T) { check(t, s.post(t, "/v1/images/generations", contentType, body)) })
		t.Run(row.name+", form", func(t *testing.T) {
			parts := []part{prompt()}
			for pair := range strings.FieldsSeq(row.form) {
				name, content, _ := strings.Cut(pair, "=")
				parts = append(parts, text(name, content))
			}
			check(t, s.generateWith(t, parts...))
		})
	}
	for member, want := range map[string]string{
		`"images": ["data:image/png;base64,AAAA"]`: "images: this path takes no pictures", `"image_uris": "[]"`: "",
		`"aspect_ratio": "wide"`:    "aspect_ratio: ",
		`"image_uris": "['data:']"`: "image_uris: is not supported here",
	} {
		g := s.post(t, "/v1/images/generations", "application/json", []byte(`{"prompt": "x", `+member+`}`))
		if (g.status == 422) != (want != "") || !strings.Contains(g.detail(), want) {
			t.Errorf("%s: %d %s", member, g.status, g.body)
		}
	}
	g := s.generateWith(t, prompt(), text("tags", "a"), text("tags", "b"))
	if have := g.header.Get("Warning"); g.status != 200 || have != `299 kleinbild "fields without effect: tags"` {
		t.Errorf("a list without effect: %d %q", g.status, have)
	}
	if g := s.generateWith(t, prompt(), text("num_steps", "1"),
		text("num_steps", "")); g.detail() != "num_steps: given twice" {
		t.Errorf("%d %s", g.status, g.body)
	}
	long := warning(manyNames(40))
	if len(long) > 1000 || !strings.HasSuffix(long, `and 24 more"`) {
		t.Errorf("%d bytes: %s", len(long), long)
	}
}

func manyNames(n int) (list []string) {
	for range n {
		list = append(list, strings.Repeat("x", 1000))
	}
	return list
}
