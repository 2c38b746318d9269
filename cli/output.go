package cli

import (
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/adrg/xdg"
	"golang.org/x/term"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// standardOutput is the file name that means standard output.
const standardOutput = "-"

// checkStandardOutput returns an error if the picture is to go to standard output, and other flags exclude that or out
// is a terminal.
func (c *generateCommand) checkStandardOutput(out io.Writer) error {
	if c.Output != standardOutput {
		return nil
	}
	file, ok := out.(*os.File)
	switch {
	case c.Count > 1:
		return usagef("-o - with --count %d, want one picture on standard output", c.Count)
	case c.JSON:
		return usagef("-o - and --json exclude each other: both write to standard output")
	case ok && term.IsTerminal(int(file.Fd())):
		return usagef("-o -: standard output is a terminal, want a file or a pipe")
	}
	return nil
}

// reserveBytes is how many bytes are reserved for the metadata that is not known before a run. It takes less.
const reserveBytes = 4096

// checkOutputs returns an error if a picture could not be written. It is called before anything is computed.
func (b *batch) checkOutputs() error {
	if b.output == standardOutput {
		return nil
	}
	meta := picture.Metadata{Prompt: b.checked.Prompt()}
	for _, seed := range b.seeds {
		path, exists := b.outputFor(seed)
		if err := picture.CheckWritable(path, exists); err != nil {
			return err
		}
		if err := picture.CheckFits(path, meta, reserveBytes); err != nil {
			return err
		}
	}
	return nil
}

// PicturesDir returns the folder where the window saves pictures. generate writes a picture there if it cannot write it
// to the path that was asked for.
func PicturesDir() string { return filepath.Join(xdg.UserDirs.Pictures, "Kleinbild") }

// write writes a finished picture and returns its path. failed says why that is not the path that was asked for. err
// says that the picture could not be written anywhere.
func (b *batch) write(out io.Writer, img image.Image, meta picture.Metadata) (path string, failed, err error) {
	folders := []string{PicturesDir(), os.TempDir()}
	if b.output == standardOutput {
		if failed = picture.EncodePNG(out, img, meta); failed == nil {
			return standardOutput, nil, nil
		}
		name := filepath.Join(folders[0], fmt.Sprintf("kleinbild-%d.png", meta.Seed))
		path, _, err = picture.Save(name, img, meta, picture.Number, folders...)
		return path, failed, err
	}
	path, exists := b.outputFor(meta.Seed)
	return picture.Save(path, img, meta, exists, folders...)
}

// outputFor returns the file name for the picture of a seed, and what to do if the file exists: a file that the user
// named is replaced, a default name gets a number.
func (b *batch) outputFor(seed uint64) (string, picture.OnExist) {
	if b.planned != nil {
		return b.planned[seed], picture.Replace
	}
	if b.output == "" {
		return fmt.Sprintf("kleinbild-%d.png", seed), picture.Number
	}
	if len(b.seeds) == 1 {
		return b.output, picture.Replace
	}
	ext := filepath.Ext(b.output)
	return fmt.Sprintf("%s-%d%s", strings.TrimSuffix(b.output, ext), seed, ext), picture.Replace
}

// report is the JSON that generate prints for a picture. If the path is not UTF-8, PathBytes has its bytes. References
// have base names, as in the picture's metadata.
type report struct {
	Path      string             `json:"path"`
	PathBytes []byte             `json:"path_base64,omitempty"`
	Workflow  inference.Workflow `json:"workflow"`
	Seconds   float64            `json:"seconds"`
	Stages    map[string]float64 `json:"stages"`
	// Prepared says how each reference was changed for the model.
	Prepared []picture.Preparation `json:"prepared,omitempty"`
	// Edited says what an edit did. The edit itself is in the metadata.
	Edited *editedReport `json:"edited,omitempty"`
	picture.Metadata
}

func newReport(path string, r *inference.Result, took time.Duration, prepared []picture.Preparation) report {
	rep := report{
		Path: path, PathBytes: picture.PathBytes(path), Workflow: r.Workflow,
		Seconds: took.Seconds(), Stages: map[string]float64{}, Prepared: prepared,
		Edited: newEditedReport(r.Edited), Metadata: r.Metadata.WithoutFolders(),
	}
	rep.Metadata.Version = Version
	for _, t := range r.Timings {
		rep.Stages[string(t.Stage)] = t.Duration.Seconds()
	}
	return rep
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// samePath says whether a and b are one file, or will be: a file that is not there yet is known by its folder and name.
// Names that differ in case only are one, as on the disks of Windows and macOS.
func samePath(a, b string) bool {
	return sameFile(a, b) || strings.EqualFold(place(a), place(b))
}

// place returns the absolute path of a file, through the links of its folder.
func place(path string) string {
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	dir, name := filepath.Split(path)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return filepath.Join(dir, name)
}
