package server

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// encodePNG returns the PNG file of img.
func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// whiteMask returns a mask that is white in r; clearMask one that is transparent there.
func whiteMask(t testing.TB, width, height int, r image.Rectangle) []byte {
	t.Helper()
	mask := image.NewGray(image.Rect(0, 0, width, height))
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			mask.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	return encodePNG(t, mask)
}

func clearMask(t testing.TB, width, height int, r image.Rectangle) []byte {
	t.Helper()
	mask := image.NewNRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			if !image.Pt(x, y).In(r) {
				mask.SetNRGBA(x, y, color.NRGBA{255, 255, 255, 255})
			}
		}
	}
	return encodePNG(t, mask)
}

// TestMasks checks each way to send a mask, and that a mask that cannot be used is refused before the engine runs.
func TestMasks(t *testing.T) {
	const generate, edits = "/v1/generate", "/v1/images/edits"
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	r := image.Rect(16, 20, 48, 60)
	photo, white, clear := pngOf(t, 96, 80, 1), whiteMask(t, 96, 80, r), clearMask(t, 96, 80, r)
	half := whiteMask(t, 48, 40, image.Rect(8, 10, 24, 30))
	narrow := whiteMask(t, 48, 80, image.Rect(8, 20, 24, 60))
	glass := image.NewNRGBA(image.Rect(0, 0, 96, 80))
	for i := range glass.Pix {
		glass.Pix[i] = 255
	}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			glass.SetNRGBA(x, y, color.NRGBA{})
		}
	}
	holed := encodePNG(t, glass)
	for _, row := range []struct {
		name, path string
		photo      []byte
		parts      []part
		status     int
		want       string // a part of the error, or of the warning
	}{
		{"white", generate, photo, []part{file("mask", "m.png", white)}, 200, ""},
		{"another size", generate, photo, []part{file("mask", "m.png", half)}, 200, ""},
		{"another shape", generate, photo, []part{file("mask", "m.png", narrow)}, 200,
			`"mask: found 48x80 for a picture of 96x80: it is stretched to that shape"`},
		{"another shape, with previews", generate, photo, []part{file("mask", "m.png", narrow), text("previews", "true")},
			200, `previews"; 299 kleinbild "mask: found 48x80`},
		{"data URI", generate, photo, []part{text("mask", dataURI(white))}, 200, ""},
		{"lines in a data URI", generate, photo, []part{text("mask", dataURI(white)+"\r\n")}, 200, ""},
		{"alpha", generate, holed, []part{text("mask", "alpha")}, 200, ""},
		{"transparent", edits, photo, []part{file("mask", "m.png", clear)}, 200, ""},
		{"transparent, with a size", edits, photo, []part{file("mask", "m.png", clear), text("size", "1024x1024")}, 200,
			"fields without effect: size"},
		{"black", generate, photo, []part{file("mask", "m.png", whiteMask(t, 96, 80, image.Rectangle{}))}, 422,
			"mask: found nothing to change"},
		{"opaque at OpenAI", edits, photo, []part{file("mask", "m.png", white)}, 422,
			"mask: found nothing to change: it is opaque everywhere, want a picture that is transparent where"},
		{"opaque image 1", generate, photo, []part{text("mask", "alpha")}, 422, "mask: found nothing to change"},
		{"no picture", generate, photo, []part{file("mask", "m.png", []byte("hello, hello"))}, 415, "mask: picture: "},
		{"bad base64", generate, photo, []part{text("mask", "data:image/png;base64,????")}, 422, "mask: is not valid base64"},
		{"no base64", generate, photo, []part{text("mask", "data:image/png,AAAA")}, 422, "mask: want data:image/"},
		{"a word", generate, photo, []part{text("mask", "white")}, 422, `mask: found "white", want a file, a data URI`},
		{"a URL", generate, photo, []part{text("mask", "https://example.com/m.png")}, 422, "mask: URLs are not fetched"},
		{"a long word", generate, photo, []part{text("mask", strings.Repeat("x", 1<<20))}, 422, "mask: found an address"},
		{"with a size", generate, photo, []part{file("mask", "m.png", white), text("size", "64x64")}, 422,
			"size: found 64x64, want none"},
		{"area beside the mask", generate, photo, []part{file("mask", "m.png", white), text("area", "0,0,20,20")}, 422,
			"area: found 0,0,20,20 for a mask at "},
		{"margin too large", generate, photo, []part{text("extend", "8000,0,0,0")}, 422, "extend: found 8000,0,0,0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			before := engine.runs()
			contentType, body := formOf(t, append(row.parts, prompt(), file("image", "p.png", row.photo))...)
			g := s.post(t, row.path, contentType, body)
			have := strings.Join(g.header.Values("Warning"), "; ")
			if g.status != http.StatusOK {
				have = g.detail()
			}
			if g.status != row.status || row.want == "" && have != "" || !strings.Contains(have, row.want) {
				t.Fatalf("%d %.300s %s, want %d %s", g.status, g.body, have, row.status, row.want)
			}
			if g.status != http.StatusOK {
				if engine.runs() != before {
					t.Error("the engine ran")
				}
				return
			}
			requests := engine.seen()
			request := requests[len(requests)-1]
			if mask := request.Mask(); mask == nil || mask.Bounds() != r || request.PictureSize().String() != "96x80" {
				t.Errorf("mask %v of %v, want %v", mask, request.PictureSize(), r)
			}
		})
	}
}

// TestEditFields checks that the fields of an edit reach the engine.
func TestEditFields(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	photo := file("image", "p.png", pngOf(t, 96, 80, 1))
	mask := file("mask", "m.png", whiteMask(t, 96, 80, image.Rect(8, 8, 40, 40)))
	for _, row := range []struct {
		name  string
		parts []part
		want  func(e inference.Editing) bool
	}{
		{"defaults", []part{mask}, func(e inference.Editing) bool {
			return e.Strength == 1 && e.MatchColours && !e.Hidden && !e.Whole && e.Context == -1
		}},
		{"all of a mask", []part{mask, text("strength", "0.5"), text("feather", "3"), text("context", "12"),
			text("match_colours", "false"), text("source", "hidden")}, func(e inference.Editing) bool {
			return e.Strength == 0.5 && e.Feather == 3 && e.Context == 12 && !e.MatchColours && e.Hidden
		}},
		{"whole", []part{mask, text("whole", "true"), text("source", "reference")}, func(e inference.Editing) bool {
			return e.Whole && !e.Hidden
		}},
		{"area", []part{mask, text("area", "0,0,64,72")}, func(e inference.Editing) bool {
			return e.AskedArea == image.Rect(0, 0, 64, 72) && e.AskedArea.In(e.Area)
		}},
		{"strength of other programs", []part{text("denoising_strength", "0.25")}, func(e inference.Editing) bool {
			return e.Strength == 0.25
		}},
		{"extension", []part{text("extend", "1,2,3,4")}, func(e inference.Editing) bool {
			return e.Margins == inference.Margins{Left: 1, Top: 2, Right: 3, Bottom: 4}
		}},
		{"shape", []part{text("extend", "16:9")}, func(e inference.Editing) bool {
			return e.Margins.Left > 0 && e.Margins.Top == 0
		}},
		{"keep unchanged", []part{text("keep_unchanged", "0.5")}, func(e inference.Editing) bool {
			return e.KeepUnchanged == 0.5
		}},
	} {
		for _, path := range []string{"/v1/generate", "/v1/images/edits"} {
			if path == "/v1/images/edits" && len(row.parts) > 0 && row.parts[0].field == "mask" {
				continue // there the mask is transparent
			}
			t.Run(row.name+" "+path, func(t *testing.T) {
				contentType, body := formOf(t, append(row.parts, prompt(), photo)...)
				if g := s.post(t, path, contentType, body); g.status != http.StatusOK {
					t.Fatalf("%d %s", g.status, g.body)
				}
				requests := engine.seen()
				if e, ok := requests[len(requests)-1].Editing(); !ok || !row.want(e) {
					t.Errorf("%+v", e)
				}
			})
		}
	}
	for _, row := range []struct {
		name  string
		parts []part
		want  string // the prompt, or the error
	}{
		{"remove", []part{mask, text("remove", "true")}, inference.RemovePrompt},
		{"remove with a prompt", []part{mask, text("remove", "true"), prompt()}, "prompt: found together with remove"},
		{"remove without a mask", []part{text("remove", "true")}, "remove: found no mask"},
		{"not remove", []part{mask, text("remove", "false"), prompt()}, "a fox"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := s.generateWith(t, append(row.parts, photo)...)
			have := g.detail()
			if g.status == http.StatusOK {
				requests := engine.seen()
				have = requests[len(requests)-1].Prompt()
			}
			if !strings.Contains(have, row.want) {
				t.Errorf("%d %s, want %s", g.status, have, row.want)
			}
		})
	}
}

// TestEditsHoldTheirMemory checks that an edit that waits holds the memory of the photo and the mask at their full
// resolution, and gives it back.
func TestEditsHoldTheirMemory(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, nil)
	const width, height = 1500, 1000
	contentType, body := formOf(t, prompt(), file("image", "p.png", pngOf(t, width, height, 1)),
		file("mask", "m.png", whiteMask(t, width, height, image.Rect(0, 0, 100, 100))))
	done := make(chan got)
	go func() { done <- s.post(t, "/v1/generate", contentType, body) }()
	held := func() int64 {
		s.queue.mu.Lock()
		defer s.queue.mu.Unlock()
		return s.queue.bytes.total
	}
	for begun := time.Now(); engine.runs() == 0; time.Sleep(time.Millisecond) {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("the engine does not run")
		}
	}
	// The photo as RGBA, the mask, and the finished picture.
	if have, want := held(), int64(width*height*(4+1+editedPixelBytes)); have < want || have > 2*want {
		t.Errorf("%d bytes are held, want at least %d", have, want)
	}
	engine.gate <- struct{}{}
	if g := <-done; g.status != http.StatusOK {
		t.Errorf("%d %s", g.status, g.body)
	}
	if have := held(); have != 0 {
		t.Errorf("%d bytes are held after the reply", have)
	}
}

// TestLargeEdits checks that an edit that takes more than half of the memory for all clients is made if nobody else has
// any, and that a photo that would grow beyond what is left is refused before it grows.
func TestLargeEdits(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, nil)
	// 8,192 more pixels on the right and below: 69 megapixels, for which 9 bytes each are held.
	contentType, body := formOf(t, prompt(), file("image", "p.png", pngOf(t, 128, 128, 1)),
		text("extend", "0,0,8192,8192"))
	done := make(chan got)
	go func() { done <- s.post(t, "/v1/generate", contentType, body) }()
	var first got
	for begun, ended := time.Now(), false; !ended && engine.runs() == 0; time.Sleep(time.Millisecond) {
		select {
		case first = <-done:
			t.Fatalf("%d %s", first.status, first.body)
		default:
			ended = time.Since(begun) > time.Minute
		}
	}
	if g := s.post(t, "/v1/generate", contentType, body); g.status != http.StatusTooManyRequests {
		t.Errorf("a second one: %d %s, want %d", g.status, g.body, http.StatusTooManyRequests)
	}
	engine.gate <- struct{}{}
	if first = <-done; first.status != http.StatusOK {
		t.Errorf("%d %s", first.status, first.body)
	}
}

// TestOriginalsAreAdmittedBeforeTheyGrow checks what is held for image 1 as soon as it is decoded.
func TestOriginalsAreAdmittedBeforeTheyGrow(t *testing.T) {
	for _, row := range []struct {
		edit inference.Edit
		want int64 // pixels
	}{
		{inference.Edit{Mask: inference.AlphaMask{}}, 100 * 80},
		{inference.Edit{Extend: inference.Extension{Margins: inference.Margins{Left: 50, Bottom: 20}}}, 150 * 100},
		{inference.Edit{Extend: inference.Extension{Ratio: 1}}, 100 * 100},
		{inference.Edit{Extend: inference.Extension{Margins: inference.Margins{Left: 8000}}}, 100 * 80}, // refused later
	} {
		q := newQueue(4)
		admission, err := q.admit("a", 5)
		if err != nil {
			t.Fatal(err)
		}
		original, err := picture.NewOriginal(image.NewNRGBA(image.Rect(0, 0, 100, 80)))
		if err != nil {
			t.Fatal(err)
		}
		req := &apiRequest{ask: inference.Ask{Edit: &row.edit}, n: 2, admission: admission}
		if err := req.admitOriginal(original); err != nil || q.bytes.total != row.want*(4+1+2*editedPixelBytes) {
			t.Errorf("%+v: %d bytes are held, %v, want those of %d pixels", row.edit, q.bytes.total, err, row.want)
		}
		q.mostBytes = q.bytes.total + 100
		other, err := q.admit("b", 100)
		if err != nil {
			t.Fatal(err)
		}
		req.admission = other
		if err := req.admitOriginal(original); err == nil || other.bytes != 100 {
			t.Errorf("%+v: a second edit holds %d bytes, %v, want it refused", row.edit, other.bytes, err)
		}
	}
}
