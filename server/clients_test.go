package server

import (
	"bytes"
	"context"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// tinyEngine returns a real engine for a checkpoint whose weights are computed by a formula.
func tinyEngine(t *testing.T) *inference.Engine {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tiny")
	spec := synthetic.TinyDistilled()
	spec.VAE.SampleSize = 64 // so that a picture takes a fraction of a second
	if err := synthetic.WriteTiny(dir, spec); err != nil {
		t.Fatal(err)
	}
	engine, err := inference.Open(t.Context(), inference.Options{Model: dir, Precision: inference.Float32})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine
}

// curlExamples are the examples in the document of the hosted API, with placeholders for host, token and paths.
var curlExamples = []struct{ workflow, count, aspect, command string }{
	{"t2i", "", "square", `curl -X POST $HOST/v1/generate \
-H "Authorization: Bearer $TOKEN" \
-F "prompt=A futuristic city with neon lights" \
-F "model=flux2-klein-4b" \
-F "aspect_ratio=square"`},
	{"i2i", "1", "portrait", `curl -X POST $HOST/v1/generate \
-H "Authorization: Bearer $TOKEN" \
-F "prompt=A cat wearing a space suit" \
-F "model=flux2-klein-4b" \
-F "images=@image.png" \
-F "aspect_ratio=portrait"`},
	{"multi-ref", "2", "landscape", `curl -X POST $HOST/v1/generate \
-H "Authorization: Bearer $TOKEN" \
-F "prompt=A hybrid of these two animals" \
-F "model=flux2-klein-4b" \
-F "images=@image1.png" \
-F "images=@image2.png" \
-F "aspect_ratio=landscape"`},
}

// TestCurl runs the examples against the real engine.
func TestCurl(t *testing.T) {
	for _, tool := range []string{"curl", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	engine := tinyEngine(t)
	s := start(t, engine, nil)
	dir := t.TempDir()
	for i, name := range []string{"image.png", "image1.png", "image2.png"} {
		if err := os.WriteFile(filepath.Join(dir, name), pngOf(t, 64, 64, uint8(60*i)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range curlExamples {
		t.Run(row.workflow, func(t *testing.T) {
			command := exec.Command("sh", "-c", row.command+" -sS -D headers -o out.png")
			command.Dir = dir
			command.Env = append(os.Environ(), "HOST=http://"+s.address, "TOKEN="+testToken, "no_proxy=*")
			if out, err := command.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			headers, err := os.ReadFile(filepath.Join(dir, "headers"))
			if err != nil {
				t.Fatal(err)
			}
			size, err := picture.AspectRatio(row.aspect).SizeFor(engine.Info().NativeSize)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"HTTP/1.1 200 OK", "Content-Type: image/png", "X-Workflow: " + row.workflow,
				"X-Resolution: " + size.String(), "X-Model: flux2-klein-4b", "X-Generation-Id: ", "X-Generation-Time: "} {
				if !strings.Contains(string(headers), want) {
					t.Errorf("the headers lack %q:\n%s", want, headers)
				}
			}
			if have := strings.Contains(string(headers), "X-Reference-Count: "+row.count); have != (row.count != "") {
				t.Errorf("X-Reference-Count in\n%s", headers)
			}
			file, err := os.ReadFile(filepath.Join(dir, "out.png"))
			if err != nil {
				t.Fatal(err)
			}
			config, err := png.DecodeConfig(bytes.NewReader(file))
			if err != nil || config.Width != size.Width || config.Height != size.Height {
				t.Errorf("%dx%d %v, want %v", config.Width, config.Height, err, size)
			}
		})
	}
}

// TestSamePictureAsTheEngine checks that the API sends the file that the command line would write.
func TestSamePictureAsTheEngine(t *testing.T) {
	engine := tinyEngine(t)
	s := start(t, engine, nil)
	g := s.generateWith(t, prompt(), text("seed", "11"), text("size", "64x64"), text("steps", "1"))
	request, err := inference.Ask{Prompt: "a fox", Seed: new(uint64(11)), Size: &picture.Size{Width: 64, Height: 64},
		Steps: new(1)}.Resolve(engine.Info())
	if err != nil {
		t.Fatal(err)
	}
	result, err := engine.Generate(context.Background(), request, nil)
	if err != nil {
		t.Fatal(err)
	}
	meta := result.Metadata
	meta.Version = "1.2.3"
	var want bytes.Buffer
	if err := picture.EncodePNG(&want, result.Image, meta); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(g.body, want.Bytes()) {
		t.Errorf("%d: %d bytes, want the same %d", g.status, len(g.body), want.Len())
	}
}

// pythonClient uses only modules that every Python has. It makes a picture, edits it as a file and as a data URI, and
// reads an error.
const pythonClient = `
import base64, json, os, urllib.error, urllib.request, uuid
host, token = os.environ["HOST"], os.environ["TOKEN"]

def post(fields, files=()):
    boundary, body = uuid.uuid4().hex, b""
    for name, value in fields.items():
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for name, data in files:
        disposition = f'form-data; name="{name}"; filename="x.png"'
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: image/png\r\n\r\n"
        body += head.encode() + data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    request = urllib.request.Request(host + "/v1/generate", body, {
        "Authorization": "Bearer " + token, "Content-Type": "multipart/form-data; boundary=" + boundary})
    return urllib.request.urlopen(request, timeout=60)

with post({"prompt": "a fox, 狐", "size": "64x64"}) as reply:
    png = reply.read()
    assert reply.headers["Content-Type"] == "image/png" and png.startswith(b"\x89PNG"), reply.headers
    assert reply.headers["X-Workflow"] == "t2i" and reply.headers["X-Reference-Count"] is None, reply.headers
uris = json.dumps(["data:image/png;base64," + base64.b64encode(png).decode()])
with post({"prompt": "winter", "size": "match", "image_uris": uris}, [("images", png)]) as reply:
    assert reply.headers["X-Workflow"] == "multi-ref" and reply.headers["X-Reference-Count"] == "2", reply.headers
try:
    post({"prompt": "x", "aspect_ratio": "round"})
    raise SystemExit("no error")
except urllib.error.HTTPError as e:
    assert e.code == 422 and "square" in json.load(e)["detail"], e
request = urllib.request.Request(host + "/v1/images/generations", json.dumps({"prompt": "x", "size": "64x64"}).encode(),
    {"Authorization": "Bearer " + token, "Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=60) as reply:
    assert base64.b64decode(json.load(reply)["data"][0]["b64_json"]).startswith(b"\x89PNG")
`

func TestPython(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	s := start(t, tinyEngine(t), nil)
	command := exec.Command(python, "-c", pythonClient)
	command.Env = append(os.Environ(), "HOST=http://"+s.address, "TOKEN="+testToken, "no_proxy=*", "PYTHONUTF8=1")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
