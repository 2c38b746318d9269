package edit

import (
	"bytes"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/picture/jpegrows/jpegtest"
)

// largeFile names the photo that the measured process edits.
const largeFile = "KLEINBILD_TEST_EDIT"

// mostEditMemory limits the resident memory of a process that edits a JPEG of 24 megapixels: what an edit may take
// beside the engine.
const mostEditMemory = 600 << 20

// photo24 returns a JPEG of 24 megapixels, 4:2:0.
func photo24() []byte {
	return jpegtest.File{
		Width: 6000, Height: 4000, Factors: []byte{0x22, 0x11, 0x11}, Coefficients: jpegtest.Photo,
	}.Encode()
}

// edit24 is everything around the model of an edit of a photo. record takes the elapsed and the processor time of its
// parts if it is not nil.
func edit24(
	tb testing.TB, o *picture.Original, box image.Rectangle, record func(part string, took, used time.Duration),
) {
	tb.Helper()
	timed := func(part string, work func() error) {
		began, used := time.Now(), processorTime()
		if err := work(); err != nil {
			tb.Fatal(err)
		}
		if record != nil {
			record(part, time.Since(began), processorTime()-used)
		}
	}
	m := mustMask(tb, boxMask(o.Size, box), o.Size)
	a := NewArea(o.Size, m.Bounds(), Chosen, 0)
	var cut *image.RGBA
	var out *picture.Original
	timed("cut", func() (err error) {
		cut, err = Cut(tb.Context(), o, a)
		Tokens(m, a)
		return err
	})
	timed("stitch", func() (err error) {
		out, err = Stitch(tb.Context(), o, a, cut, cut, m, Options{Feather: Chosen, MatchColours: true})
		return err
	})
	timed("encode", func() error { return picture.EncodePNG(io.Discard, out, picture.Metadata{Prompt: "a fox"}) })
}

// processorTime returns the processor time that the process has used.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// The masks of the measured edits: an object, and nearly the whole picture.
var objectBox, wholeBox = image.Rect(1500, 1000, 4500, 3000), image.Rect(10, 10, 5990, 3990)

func TestEditOf24MegapixelsTakesLittle(t *testing.T) {
	if path := os.Getenv(largeFile); path != "" {
		o, err := picture.OpenOriginal(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		edit24(t, o, wholeBox, nil)
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(string(status), "VmHWM:")
		kib := 0
		if _, err := fmt.Sscan(text, &kib); err != nil {
			t.Fatal(err)
		}
		fmt.Println("MEASURED", kib<<10)
		return
	}
	if testing.Short() {
		t.Skip("a picture of 24 megapixels")
	}
	path := filepath.Join(t.TempDir(), "large.jpg")
	if err := os.WriteFile(path, photo24(), 0o666); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestEditOf24MegapixelsTakesLittle$", "-test.v")
	command.Env = append(os.Environ(), largeFile+"="+path)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, text, _ := bytes.Cut(out, []byte("MEASURED"))
	memory := 0
	if _, err := fmt.Sscan(string(text), &memory); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	t.Logf("%d MiB were resident", memory>>20)
	if memory > mostEditMemory {
		t.Errorf("%d MiB were resident, want at most %d", memory>>20, mostEditMemory>>20)
	}
}

// BenchmarkEdit24MP measures the parts around the model: cut, stitch with matched colours, and the PNG. Decoding the
// photo is measured beside them.
func BenchmarkEdit24MP(b *testing.B) {
	file := photo24()
	o, err := picture.DecodeOriginal(b.Context(), file)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decode", func(b *testing.B) {
		for b.Loop() {
			if _, err := picture.DecodeOriginal(b.Context(), file); err != nil {
				b.Fatal(err)
			}
		}
	})
	for name, box := range map[string]image.Rectangle{"object": objectBox, "whole": wholeBox} {
		b.Run(name, func(b *testing.B) {
			total := map[string]time.Duration{}
			for b.Loop() {
				edit24(b, o, box, func(part string, took, used time.Duration) {
					total[part] += took
					total[part+"-cpu"] += used
				})
			}
			for part, took := range total {
				b.ReportMetric(float64(took.Milliseconds())/float64(b.N), part+"-ms/op")
			}
		})
	}
}
