package picture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kleinbild/inference/picture/jpegrows/jpegtest"
)

const (
	// mostJPEGMemory is what a process may hold, of memory that is resident, while it prepares a JPEG of 100 megapixels.
	mostJPEGMemory = 400 << 20
	// mostJPEGTime of a processor is four times what it was measured to take.
	mostJPEGTime = 16 * time.Second
	jpegFile     = "KLEINBILD_TEST_JPEG"       // in the environment of the process that is measured
	jpegByWhole  = "KLEINBILD_TEST_JPEG_WHOLE" // likewise: package jpeg is to decode the file
)

// TestJPEGsOf100MegapixelsTakeLittle measures a process of its own for each kind: the largest memory that was resident,
// and the time on the clock and of processors. One kind is decoded by package jpeg as well, which takes longer.
func TestJPEGsOf100MegapixelsTakeLittle(t *testing.T) {
	if path := os.Getenv(jpegFile); path != "" {
		prepareForMeasure(t, path)
		return
	}
	if testing.Short() {
		t.Skip("six pictures of 100 megapixels")
	}
	for _, row := range []struct {
		name        string
		factors     []byte
		progressive bool
		segments    string
		whole       bool
	}{
		{"halved colours", []byte{0x22, 0x11, 0x11}, false, "", true},
		{"halved colours, progressive", []byte{0x22, 0x11, 0x11}, true, "", false},
		{"full colours", []byte{0x11, 0x11, 0x11}, false, "", false},
		{"full colours, progressive", []byte{0x11, 0x11, 0x11}, true, "", false},
		{"inks", []byte{0x11, 0x11, 0x11, 0x11}, false, jpegtest.Adobe(2), false},
		{"inks, progressive", []byte{0x11, 0x11, 0x11, 0x11}, true, jpegtest.Adobe(0), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "large.jpg")
			file := jpegtest.File{
				Width: 11_648, Height: 8_736, Factors: row.factors, Progressive: row.progressive, Segments: row.segments,
				Repeat: true, Coefficients: jpegtest.Photo,
			}.Encode()
			if err := os.WriteFile(path, file, 0o666); err != nil {
				t.Fatal(err)
			}
			measured := measureJPEG(t, jpegFile+"="+path)
			t.Logf("%d MB: %v", len(file)/1_000_000, measured)
			if measured.memory > mostJPEGMemory {
				t.Errorf("%d MiB were resident, want at most %d", measured.memory>>20, mostJPEGMemory>>20)
			}
			if measured.processors > mostJPEGTime {
				t.Errorf("%v of processors, want at most %v", measured.processors, mostJPEGTime)
			}
			if row.whole {
				whole := measureJPEG(t, jpegFile+"="+path, jpegByWhole+"=1")
				t.Logf("by package jpeg: %v; ratios: %.2f of its time, %.2f of its processors' time, %.2f of its memory",
					whole, measured.clock.Seconds()/whole.clock.Seconds(),
					measured.processors.Seconds()/whole.processors.Seconds(), float64(measured.memory)/float64(whole.memory))
				if measured.processors > whole.processors {
					t.Error("package jpeg takes less time")
				}
			}
		})
	}
}

// measuredJPEG is what a process took.
type measuredJPEG struct {
	clock, processors time.Duration
	memory            int // bytes that were resident at most
}

func (m measuredJPEG) String() string {
	return fmt.Sprintf("%v, %v of processors, %d MiB", m.clock.Round(time.Millisecond),
		m.processors.Round(time.Millisecond), m.memory>>20)
}

// measureJPEG runs this test in another process, which prepares the file.
func measureJPEG(t *testing.T, environment ...string) (m measuredJPEG) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestJPEGsOf100MegapixelsTakeLittle$", "-test.v")
	command.Env = append(os.Environ(), environment...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, text, _ := strings.Cut(string(out), "MEASURED")
	if _, err := fmt.Sscan(text, &m.clock, &m.processors, &m.memory); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return m
}

// prepareForMeasure prepares the file and prints what it took.
func prepareForMeasure(t *testing.T, path string) {
	began, processors := time.Now(), cpuTime()
	if os.Getenv(jpegByWhole) == "" {
		if _, err := Open(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	} else if err := prepareByWhole(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(status), "VmHWM:")
	kib := 0
	if _, err := fmt.Sscan(text, &kib); err != nil {
		t.Fatal(err)
	}
	fmt.Println("MEASURED", int64(time.Since(began)), int64(cpuTime()-processors), kib<<10)
}

// prepareByWhole prepares a file as it is prepared where package jpegrows does not read it.
func prepareByWhole(ctx context.Context, path string) error {
	file, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := recognise(file)
	if err != nil {
		return err
	}
	decoded, canvas, err := decodeChecked(ctx, f, file, anySize)
	if err != nil {
		return err
	}
	_, _, err = prepareWhole(ctx, decoded, colourTags{}, canvas, canvas.fit(MaxArea))
	return err
}
