package client

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"io"
	"math"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/server/api"
)

// description is a sound description of an engine.
func description() api.Engine {
	return api.Engine{
		Program: api.Program, Version: "9.9", Protocol: api.Protocol, Features: []api.Feature{api.References},
		Model: api.Model{
			Name: "m", Digest: "d", Variant: inference.Distilled, Steps: 4, Guidance: 1, NativeSize: 1024,
			MaxSequenceLength: 512, TokenChannels: 128, MaxReferences: 4,
		},
	}
}

// TestOtherServers opens addresses that are no Kleinbild, or one that cannot be used. Each gets one sentence.
func TestOtherServers(t *testing.T) {
	text := func(code int, kind, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}
	}
	described := func(change func(*api.Engine)) http.HandlerFunc {
		e := description()
		change(&e)
		body, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return text(200, "application/json", string(body))
	}
	older := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != api.PathDocument {
			text(404, "application/json", `{"detail": "no such path"}`)(w, r)
			return
		}
		text(200, "application/json", `{"openapi": "3.1.0", "info": {"title": "Kleinbild", "version": "0.1.0"}}`)(w, r)
	}
	const no = "answers, but is no Kleinbild server"
	for _, row := range []struct {
		name  string
		serve http.HandlerFunc
		want  string
	}{
		{"a website", text(200, "text/html", "<html>"), no},
		{"a website without the page", text(404, "text/html", "<html>"), no},
		{"other JSON", text(200, "application/json", `{"hello": "world"}`), no},
		{"a list", text(200, "application/json", `[1, 2]`), no},
		{"nothing", text(200, "", ""), no},
		{"an endless reply", func(w http.ResponseWriter, _ *http.Request) { endless(w, "x") }, no},
		{"an older version", older, "runs Kleinbild 0.1.0, which cannot be used from here yet: want the same version"},
		{"another protocol", described(func(e *api.Engine) { e.Protocol = 2 }),
			"runs Kleinbild 9.9, which this version does not understand: want the same version on both computers"},
		{"another program", described(func(e *api.Engine) { e.Program = "other" }), no},
		{"no digest", described(func(e *api.Engine) { e.Model.Digest = "" }), "the model has no digest"},
		{"no steps", described(func(e *api.Engine) { e.Model.Steps = 0 }), "the number of steps is 0, want 1 to 1000"},
		{"a huge native size", described(func(e *api.Engine) { e.Model.NativeSize = 1 << 40 }), "the native size is"},
		{"a huge guidance", described(func(e *api.Engine) { e.Model.Guidance = 1e9 }), "the guidance is 1e+09"},
		{"no variant", described(func(e *api.Engine) { e.Model.Variant = "turbo\x1b[2J" }), `the variant is "turbo`},
		{"negative costs", described(func(e *api.Engine) { e.Model.Costs.StepPair = -1 }), "the costs are no numbers"},
		{"no model yet", text(503, "application/json", `{"detail": "no model: none found"}`),
			"cannot make pictures now: no model: none found: try again"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://192.0.2.7/", http.StatusFound)
		},
			"leads to another address, http://192.0.2.7/: want that address"},
		{"a colourful refusal", text(403, "application/json", `{"detail": "no\u001b[31m\n\nway\u202e"}`),
			`does not let this computer in: no\x1b[31m way\u202e`},
		{"a long refusal", text(403, "application/json", `{"detail": "`+strings.Repeat("no ", 9000)+`"}`), "no n…"},
	} {
		_, err := connectWith(t, handle(t, row.serve), "word-of-mouth", quick())
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
			continue
		}
		if strings.ContainsAny(err.Error(), "\n\x1b\u202e") || len(err.Error()) > 2*maxDetailRunes ||
			strings.Contains(err.Error(), "word-of-mouth") {
			t.Errorf("%s: %.300q is not one short sentence without the token", row.name, err)
		}
	}
	// A redirect takes the token nowhere.
	told := make(chan string, 10)
	elsewhere := handle(t, func(_ http.ResponseWriter, r *http.Request) { told <- r.Header.Get("Authorization") })
	_, err := connectWith(t, handle(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
	}), token, quick())
	if err == nil || len(told) > 0 {
		t.Errorf("a redirect was followed: %v", err)
	}
	if _, err := connectWith(t, "http://"+freePort(t), token, quick()); err == nil ||
		!strings.Contains(err.Error(), "no server runs there, or it has another port: try again") {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := connectWith(
		t,
		"http://127.0.0.1",
		"two words",
		quick(),
	); err == nil ||
		strings.Contains(err.Error(), "two") {
		t.Errorf("a token of two words: %v", err)
	}
}

func endless(w io.Writer, text string) {
	block := []byte(strings.Repeat(text, 64<<10/len(text)))
	for {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// TestWithoutTheCapability asks servers for what their models cannot do.
func TestWithoutTheCapability(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*api.Engine)
		want   string
	}{
		{"no feature", func(e *api.Engine) { e.Features = nil }, "takes no reference pictures with the model that it has"},
		{"no references", func(e *api.Engine) { e.Model.MaxReferences = 0 }, "takes no reference pictures"},
		{"one reference", func(e *api.Engine) { e.Model.MaxReferences = 1 }, "takes 1 reference pictures at most, found 2"},
	} {
		e := description()
		row.change(&e)
		remote := connect(t, handle(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != api.PathEngine {
				t.Errorf("%s: asked for %s", row.name, r.URL.Path)
			}
			_ = json.NewEncoder(w).Encode(e)
		}))
		ask := small("a")
		ask.References = []inference.Source{photo(t, 64, 64, 1), photo(t, 64, 64, 2)}
		if _, err := remote.Generate(
			t.Context(),
			resolve(t, ask, remote),
			nil,
		); err == nil ||
			!strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
		noise := small("a")
		noise.Noise = make([]float32, 16*128)
		if _, err := remote.Generate(t.Context(), resolve(t, noise, remote), nil); err == nil ||
			!strings.Contains(err.Error(), "takes no noise from a file") {
			t.Errorf("noise: %v", err)
		}
	}
}

// streaming is a server that answers a request for a picture with what stream writes.
func streaming(t *testing.T, stream func(w io.Writer)) *Engine {
	t.Helper()
	return connect(t, handle(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.PathEngine {
			_ = json.NewEncoder(w).Encode(description())
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		stream(w)
	}))
}

// fileFor returns a picture's file for a request, with changed metadata.
func fileFor(t *testing.T, req inference.Request, size picture.Size, change func(*picture.Metadata)) string {
	t.Helper()
	meta := picture.Metadata{
		Prompt: req.Prompt(), Seed: req.Seed(), Steps: req.Steps(), Guidance: req.Guidance(), Width: req.Size().Width,
		Height: req.Size().Height, Model: "m", ModelDigest: "d", Device: "a card", Variant: "distilled",
	}
	change(&meta)
	var file bytes.Buffer
	if err := picture.EncodePNG(&file, image.NewRGBA(image.Rect(0, 0, size.Width, size.Height)), meta); err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(file.Bytes())
}

// claiming returns the head of a PNG file that claims a size.
func claiming(width, height uint32) string {
	ihdr := []byte{'I', 'H', 'D', 'R', byte(width >> 24), byte(width >> 16), byte(width >> 8), byte(width),
		byte(height >> 24), byte(height >> 16), byte(height >> 8), byte(height), 8, 6, 0, 0, 0}
	sum := crc32.ChecksumIEEE(ihdr)
	file := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	return base64.StdEncoding.EncodeToString(append(file, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum)))
}

// TestWrongPictures has servers send something else than the picture that was asked for.
func TestWrongPictures(t *testing.T) {
	e := description()
	info, err := checkModel(e.Model)
	if err != nil {
		t.Fatal(err)
	}
	req, err := small("a red fox").Resolve(info)
	if err != nil {
		t.Fatal(err)
	}
	same, right := func(*picture.Metadata) {}, req.Size()
	var bare bytes.Buffer
	if err := png.Encode(&bare, image.NewRGBA(image.Rect(0, 0, 64, 64))); err != nil {
		t.Fatal(err)
	}
	const other = "it was made for another request"
	for _, row := range []struct{ name, image, want string }{
		{"the right one", fileFor(t, req, right, same), ""},
		{"another size", fileFor(t, req, picture.Size{Width: 80, Height: 64}, same), "it has 80x64 pixels, want 64x64"},
		{"a huge size", claiming(30000, 30000), "it has 30000x30000 pixels, want 64x64"},
		{"half", fileFor(t, req, right, same)[:400], "its file is damaged"},
		{"no PNG", base64.StdEncoding.EncodeToString([]byte("GIF89a")), "its file is no PNG"},
		{"no base64", "@@@@", "its event is damaged"},
		{"no metadata", base64.StdEncoding.EncodeToString(bare.Bytes()), "does not say how it was made"},
		{"another seed", fileFor(t, req, right, func(m *picture.Metadata) { m.Seed++ }), other},
		{"another prompt", fileFor(t, req, right, func(m *picture.Metadata) { m.Prompt = "x" }), other},
		{"other steps", fileFor(t, req, right, func(m *picture.Metadata) { m.Steps++ }), other},
		{"another model", fileFor(t, req, right, func(m *picture.Metadata) { m.ModelDigest = "e" }), other},
		{"another size in the metadata", fileFor(t, req, right, func(m *picture.Metadata) { m.Width = 16 }), other},
	} {
		remote := streaming(t, func(w io.Writer) {
			fmt.Fprintf(w, ":\n\nevent: unknown\ndata: 1\n\nevent: picture\ndata: {\"image\": \"%s\"}\n\n", row.image)
		})
		got, err := remote.Generate(t.Context(), resolve(t, small("a red fox"), remote), nil)
		switch {
		case row.want == "" && (err != nil || got.Image.Bounds().Dx() != 64 || got.Metadata.Device != "a card"):
			t.Errorf("%s: %v", row.name, err)
		case row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)):
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
	// What the metadata say of references and folders comes from here alone.
	remote := streaming(t, func(w io.Writer) {
		file := fileFor(t, req, right, func(m *picture.Metadata) {
			m.References = []picture.ReferenceFile{{Path: "/etc/passwd", SHA256: strings.Repeat("0", 64)}}
			m.Device, m.Version, m.NegativePrompt = strings.Repeat("d", 1000)+"\x1b[2J", "evil", "evil"
		})
		fmt.Fprintf(w, "event: picture\ndata: {\"image\": \"%s\", \"truncated\": %q}\n\n", file, strings.Repeat("t", 100<<10))
	})
	got, err := remote.Generate(t.Context(), resolve(t, small("a red fox"), remote), nil)
	if err != nil {
		t.Fatal(err)
	}
	if m := got.Metadata; m.References != nil || m.Version != "" || m.NegativePrompt != "" || len(m.Device) > 300 ||
		strings.Contains(m.Device, "\x1b") || len(got.Truncated) > inference.MaxPromptBytes {
		t.Errorf("%+v", m)
	}
}

// TestHostileStreams has servers send streams that are endless, too long or senseless. The client must end with a
// sentence or when it is cancelled, and must not take much memory.
func TestHostileStreams(t *testing.T) {
	number := func(w io.Writer, name, data string) { fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data) }
	for _, row := range []struct {
		name   string
		stream func(w io.Writer)
		want   string
	}{
		{"an endless line", func(w io.Writer) { endless(w, "x") }, "sends more than a picture of 64x64 can have"},
		{"an endless picture", func(w io.Writer) {
			fmt.Fprint(w, "event: picture\ndata: {\"image\": \"")
			endless(w, "A")
		}, "sends more than a picture of 64x64 can have"},
		{"an endless preview", func(w io.Writer) {
			fmt.Fprint(w, "event: preview\ndata: {\"image\": \"")
			endless(w, "A")
		}, "sends more than"},
		{"a stream that ends", func(w io.Writer) { number(w, "progress", `{"stage":"steps"}`) },
			"has cut the connection: try again"},
		{"nothing", func(io.Writer) {}, "has cut the connection: try again"},
		{"an error without words", func(w io.Writer) { number(w, "error", `[]`) }, "has failed without saying why"},
		{"an error", func(w io.Writer) { number(w, "error", `{"status": 500, "detail": "\u001b[2Jboom"}`) },
			`could not make the picture: \x1b[2Jboom`},
		{"previews that are none", func(w io.Writer) {
			number(w, "preview", `{"step": 1, "total": 4, "image": "`+claiming(1<<30, 1<<30)+`"}`)
			number(w, "preview", `{"step": 1, "total": 4, "image": "`+claiming(4000, 4000)+`"}`)
			number(w, "preview", `{"step": 1, "total": 4, "image": "AAAA"}`)
			number(w, "preview", `{`)
			number(w, "progress", `{`)
			number(w, "queued", `"`)
		}, "has cut the connection"},
	} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		remote := streaming(t, row.stream)
		_, err := remote.Generate(t.Context(), resolve(t, small("a"), remote), func(p inference.Progress) {
			if p.Preview != nil {
				t.Errorf("%s: a preview of %v", row.name, p.Preview.Bounds())
			}
		})
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20 {
			t.Errorf("%s: %d MB were allocated", row.name, grown>>20)
		}
	}
	// Comments for ever end with the caller.
	remote := streaming(t, func(w io.Writer) {
		for {
			if _, err := fmt.Fprint(w, ":\n\n"); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := remote.Generate(ctx, resolve(t, small("a"), remote), nil); !errors.Is(err, ctx.Err()) {
		t.Errorf("comments for ever: %v", err)
	}
	// A reply that is no stream.
	plain := handle(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.PathEngine {
			_ = json.NewEncoder(w).Encode(description())
		}
	})
	remote = connect(t, plain)
	if _, err := remote.Generate(
		t.Context(),
		resolve(t, small("a"), remote),
		nil,
	); err == nil ||
		!strings.Contains(err.Error(), noKleinbild) {
		t.Errorf("no stream: %v", err)
	}
}

// TestNumbersOfStrangers checks that numbers beyond all bounds do no harm.
func TestNumbersOfStrangers(t *testing.T) {
	var told []inference.Progress
	remote := streaming(t, func(w io.Writer) {
		for _, data := range []string{
			`{"stage":"steps","step":-5,"total":-9,"fraction":-1,"elapsed":-1,"remaining":-1}`,
			`{"stage":"steps","step":9223372036854775807,"total":5,"fraction":1e300,"elapsed":1e300,"remaining":1e300}`,
			`{"stage":"\u001b[2J","step":1,"total":5,"fraction":0.5,"elapsed":1,"remaining":1}`,
		} {
			fmt.Fprintf(w, "event: progress\ndata: %s\n\n", data)
		}
		fmt.Fprintf(w, "event: queued\ndata: {\"before\": -3}\n\n")
	})
	_, err := remote.Generate(
		t.Context(),
		resolve(t, small("a"), remote),
		func(p inference.Progress) { told = append(told, p) },
	)
	if err == nil || len(told) != 3 {
		t.Fatalf("%v, told %+v", err, told)
	}
	for _, p := range told {
		if p.Step < 0 || p.Total < 0 || p.Step > p.Total || p.Fraction < 0 || p.Fraction > 1 || p.Elapsed < 0 ||
			p.Remaining < 0 {
			t.Errorf("%+v", p)
		}
	}
	if within(math.NaN(), 2, 3) != 2 || within(math.Inf(1), 2, 3) != 3 || within(2.5, 2, 3) != 2.5 {
		t.Error("within")
	}
}

func TestAddresses(t *testing.T) {
	for _, row := range []struct {
		text     string
		insecure bool
		want     string // "" for an error
		fails    string
	}{
		{"https://studio.lan:7820", false, "https://studio.lan:7820", ""},
		{" HTTPS://Studio.LAN/ ", false, "https://studio.lan", ""},
		{"studio.lan:7820", false, "https://studio.lan:7820", ""},
		{"127.0.0.1:7820", false, "http://127.0.0.1:7820", ""},
		{"localhost:7820", false, "http://localhost:7820", ""},
		{"[::1]:7820", false, "http://[::1]:7820", ""},
		{"http://[::ffff:127.0.0.1]:80", false, "http://[::ffff:127.0.0.1]:80", ""},
		{"https://proxy.lan/kleinbild/", false, "https://proxy.lan/kleinbild", ""},
		{"http://127.0.0.1.evil.lan", false, "", "everybody on the way"},
		{"http://studio.lan:7820", false, "", "everybody on the way"},
		{"http://studio.lan:7820", true, "http://studio.lan:7820", ""},
		{"http://192.168.1.7", false, "", "everybody on the way"},
		{"", false, "", "is no address"},
		{"   ", false, "", "is no address"},
		{"https://", false, "", "is no address"},
		{"https://a b", false, "", "is no address"},
		{"https://a:port", false, "", "is no address"},
		{"https://a:70000", false, "", "has the port 70000"},
		{"https://ada:word@a", false, "", "has a user name"},
		{"https://ada:word@a:7 8", false, "", `"…@a:7 8" is no address`},
		{"https://a/?q", false, "", "more than an address"},
		{"https://a/#f", false, "", "more than an address"},
		{"file:///etc/passwd", false, "", "is no address"},
		{"ftp://a", false, "", "begins with ftp://"},
		{"https://\x1b[2J", false, "", "is no address"},
	} {
		a, err := ParseAddress(row.text, row.insecure)
		switch {
		case row.want != "" && (err != nil || a.String() != row.want):
			t.Errorf("%q: %s, %v; want %s", row.text, a, err, row.want)
		case row.want == "" && (err == nil || !strings.Contains(err.Error(), row.fails)):
			t.Errorf("%q: %s, %v; want %s", row.text, a, err, row.fails)
		case err != nil && (strings.Contains(err.Error(), "word") || strings.Contains(err.Error(), "\x1b")):
			t.Errorf("%q: %q", row.text, err)
		}
		if row.want != "" && err == nil {
			if again, err := ParseAddress(a.String(), row.insecure); err != nil || again.String() != a.String() {
				t.Errorf("%q: again %s, %v", row.text, again, err)
			}
		}
	}
	// A name of this computer that leads elsewhere gets nothing.
	for address, ok := range map[string]bool{"127.0.0.1:80": true, "[::1]:80": true, "192.0.2.1:80": false} {
		if err := checkLoopback(address); (err == nil) != ok {
			t.Errorf("%s: %v", address, err)
		}
	}
}
