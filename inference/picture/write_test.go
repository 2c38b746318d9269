package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kleinbild/kleinbild/atomicfile"
)

func names(t *testing.T, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, entry := range entries {
		list = append(list, entry.Name())
	}
	return list
}

func content(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestWrite(t *testing.T) {
	for _, row := range []struct {
		name    string
		existed []string
		exists  OnExist
		want    string // the file that is written; "" if the call is refused
	}{
		{"free", nil, Refuse, "fox.png"},
		{"free, replace", nil, Replace, "fox.png"},
		{"free, number", nil, Number, "fox.png"},
		{"taken", []string{"fox.png"}, Refuse, ""},
		{"taken, replace", []string{"fox.png"}, Replace, "fox.png"},
		{"taken, number", []string{"fox.png"}, Number, "fox-2.png"},
		{"several taken, number", []string{"fox.png", "fox-2.png", "fox-4.png"}, Number, "fox-3.png"},
	} {
		t.Run(row.name, func(t *testing.T) {
			folder := t.TempDir()
			for _, name := range row.existed {
				if err := os.WriteFile(filepath.Join(folder, name), []byte("old"), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(folder, "fox.png")
			checked := CheckWritable(path, row.exists)
			if got := names(t, folder); len(got) != len(row.existed) {
				t.Fatalf("CheckWritable leaves %v", got)
			}
			got, err := Write(path, cornered(), example(), row.exists)
			if row.want == "" {
				for _, err := range []error{checked, err} {
					if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
						t.Errorf("%v, want fs.ErrExist and the path", err)
					}
				}
			} else if checked != nil || err != nil || got != filepath.Join(folder, row.want) {
				t.Fatalf("CheckWritable %v; Write %q, %v, want %s", checked, got, err, row.want)
			}
			expected := slices.Clone(row.existed)
			if row.want != "" && !slices.Contains(expected, row.want) {
				expected = append(expected, row.want)
			}
			slices.Sort(expected)
			if got := names(t, folder); !slices.Equal(got, expected) {
				t.Errorf("the folder holds %v, want %v", got, expected)
			}
			for _, name := range expected {
				want := []byte("old")
				if name == row.want {
					want = encoded(t, example())
				}
				if !bytes.Equal(content(t, filepath.Join(folder, name)), want) {
					t.Errorf("%s has other bytes than expected", name)
				}
			}
		})
	}
}

func TestUnwritableOutputs(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "file"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "sub.png"), 0o777); err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(folder, "locked")
	if err := os.Mkdir(locked, 0o555); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, path string
		exists     OnExist
		want       string
		skip       bool
	}{
		{"empty", "", Refuse, "name of a file", false},
		{"ends with a separator", folder + string(filepath.Separator), Refuse, "name of a file", false},
		{"a folder", filepath.Join(folder, "sub.png"), Replace, "folder", false},
		{"a folder, number", filepath.Join(folder, "sub.png"), Number, "folder", false},
		{"missing folder", filepath.Join(folder, "missing", "fox.png"), Refuse, "does not exist", false},
		{"below a file", filepath.Join(folder, "file", "fox.png"), Refuse, "file", false},
		{"another format", filepath.Join(folder, "fox.BMP"), Refuse, "want .png", false},
		{"name too long", filepath.Join(folder, strings.Repeat("x", 300)+".png"), Refuse, "name", false},
		{"device", "/dev/null", Replace, "device", runtime.GOOS == "windows"},
		{"device", "/dev/null", Refuse, "exists", runtime.GOOS == "windows"},
		{"no permission", filepath.Join(locked, "fox.png"), Refuse, "permission",
			runtime.GOOS == "windows" || os.Getuid() == 0},
	} {
		if row.skip {
			continue
		}
		before := names(t, folder)
		_, written := Write(row.path, cornered(), example(), row.exists)
		for call, err := range map[string]error{"CheckWritable": CheckWritable(row.path, row.exists), "Write": written} {
			if err == nil {
				t.Errorf("%s: %s accepts %s", row.name, call, row.path)
				continue
			}
			text := err.Error()
			if !strings.Contains(text, row.want) || strings.Contains(text, "\n") || strings.Contains(text, ".tmp") {
				t.Errorf("%s: %s: %q, want one line that says %q", row.name, call, text, row.want)
			}
		}
		if after := names(t, folder); !slices.Equal(before, after) {
			t.Errorf("%s: the folder holds %v, before %v", row.name, after, before)
		}
	}
}

// TestLeftoverDoesNotShadow checks that the temporary file of a killed program is neither used nor taken for a picture.
func TestLeftoverDoesNotShadow(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "fox.png")
	left, err := atomicfile.Create(path, newFile)
	if err != nil {
		t.Fatal(err)
	}
	half := encoded(t, example())
	half = half[:len(half)/2]
	if _, err := left.Write(half); err != nil {
		t.Fatal(err)
	}
	if err := left.Close(); err != nil {
		t.Fatal(err)
	}
	if exists(path) {
		t.Fatal("the output appears before it is complete")
	}
	for _, name := range []string{"fox.png", "fox-2.png"} {
		got, err := Write(path, cornered(), example(), Number)
		if err != nil || filepath.Base(got) != name {
			t.Fatalf("%s, %v, want %s", got, err, name)
		}
		if !bytes.Equal(content(t, got), encoded(t, example())) {
			t.Errorf("%s is not the picture", name)
		}
	}
	if !bytes.Equal(content(t, left.Name()), half) {
		t.Error("the other program's temporary file was touched")
	}
	if filepath.Ext(left.Name()) == ".png" {
		t.Errorf("%s looks like a picture", left.Name())
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "fox.png")
	if err := os.WriteFile(path, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	// The encoder refuses a picture without pixels.
	if _, err := Write(path, image.NewRGBA(image.Rectangle{}), example(), Replace); err == nil {
		t.Error("a picture without pixels is written")
	}
	if got := names(t, folder); !slices.Equal(got, []string{"fox.png"}) || string(content(t, path)) != "old" {
		t.Errorf("the folder holds %v, want the old fox.png", got)
	}
}

func TestPermissionsAreTheUsers(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "fox.png")
	if _, err := Write(path, cornered(), example(), Refuse); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(folder, "other")
	if err := os.WriteFile(other, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	got, errGot := os.Stat(path)
	want, errWant := os.Stat(other)
	if errGot != nil || errWant != nil || got.Mode() != want.Mode() {
		t.Errorf("mode %v, want %v as any new file", got.Mode(), want.Mode())
	}
}

func TestWritersAtOnceGetTheirOwnNames(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "fox.png")
	const writers = 16
	written := make([]string, writers)
	var wait sync.WaitGroup
	for i := range writers {
		wait.Go(func() {
			meta := example()
			meta.Seed = uint64(i)
			name, err := Write(path, cornered(), meta, Number)
			if err != nil {
				t.Error(err)
			}
			written[i] = name
		})
	}
	wait.Wait()
	for i, name := range written {
		meta, err := ReadMetadataFile(name)
		if err != nil || meta.Seed != uint64(i) {
			t.Errorf("writer %d: %s has seed %d, %v", i, name, meta.Seed, err)
		}
	}
	slices.Sort(written)
	if got := len(slices.Compact(written)); got != writers {
		t.Errorf("%d names for %d writers", got, writers)
	}
	if !slices.Contains(written, filepath.Join(folder, fmt.Sprintf("fox-%d.png", writers))) {
		t.Errorf("names %v have gaps", written)
	}
}

// BenchmarkEncodePNG measures a picture of 1 megapixel with noise, like those of the model.
func BenchmarkEncodePNG(b *testing.B) {
	rows := make([]float32, 3*1024*1024)
	state := uint32(1)
	for i := range rows {
		state = state*1664525 + 1013904223
		rows[i] = float32(i%3072)/3072 + float32(state>>24)/4096 - 0.5
	}
	img, err := FromFloats(rows, 1024, 1024)
	if err != nil {
		b.Fatal(err)
	}
	var file bytes.Buffer
	for b.Loop() {
		file.Reset()
		if err := EncodePNG(&file, img, example()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(file.Len())/1e6, "MB")
}
