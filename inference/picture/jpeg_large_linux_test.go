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

	"github.com/kleinbild/kleinbild/inference/picture/jpegrows/jpegtest"
)

const (
	// mostJPEGMemory limits the resident memory of a process that prepares a JPEG of 100 megapixels.
	mostJPEGMemory = 400 << 20
	// mostJPEGTime limits its processor time; it is four times the measured value.
	mostJPEGTime = 16 * time.Second
	// Environment variables of the measured process: the file, and whether package image/jpeg is to decode it.
	jpegFile    = "KLEINBILD_TEST_JPEG"
	jpegByWhole = "KLEINBILD_TEST_JPEG_WHOLE"
)

// TestJPEGsOf100MegapixelsTakeLittle measures one process for each kind of file: its largest resident memory, its
// elapsed time and its processor time. It measures one kind with package image/jpeg as well, which must take longer.
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
		{"4:2:0", []byte{0x22, 0x11, 0x11}, false, "", true},
		{"4:2:0, progressive", []byte{0x22, 0x11, 0x11}, true, "", false},
		{"4:4:4", []byte{0x11, 0x11, 0x11}, false, "", false},
		{"4:4:4, progressive", []byte{0x11, 0x11, 0x11}, true, "", false},
		{"CMYK", []byte{0x11, 0x11, 0x11, 0x11}, false, jpegtest.Adobe(2), false},
		{"CMYK, progressive", []byte{0x11, 0x11, 0x11, 0x11}, true, jpegtest.Adobe(0), false},
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
				t.Errorf("%v of processor time, want at most %v", measured.processors, mostJPEGTime)
			}
			if row.whole {
				whole := measureJPEG(t, jpegFile+"="+path, jpegByWhole+"=1")
				t.Logf("package image/jpeg: %v; ratios: %.2f of its elapsed time, %.2f of its processor time, %.2f of its memory",
					whole, measured.clock.Seconds()/whole.clock.Seconds(),
					measured.processors.Seconds()/whole.processors.Seconds(), float64(measured.memory)/float64(whole.memory))
				if measured.processors > whole.processors {
					t.Error("package image/jpeg takes less processor time")
				}
			}
		})
	}
}

// measuredJPEG is the cost of a process.
type measuredJPEG struct {
	clock, processors time.Duration
	memory            int // the largest resident size in bytes
}

func (m measuredJPEG) String() string {
	return fmt.Sprintf("%v, %v of processor time, %d MiB", m.clock.Round(time.Millisecond),
		m.processors.Round(time.Millisecond), m.memory>>20)
}

// measureJPEG runs this test in another process, which prepares the file, and returns the cost that it prints.
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

// prepareForMeasure prepares the file and prints the cost of this process.
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

// prepareByWhole prepares a file as a whole, as if package jpegrows could not read it.
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
