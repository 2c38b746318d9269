package picture

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"slices"
	"strconv"
	"strings"
)

// Metadata holds what is needed to generate a picture again. In a PNG file it is stored in three text chunks (iTXt,
// UTF-8, not compressed) between IHDR and the pixels. In JPEG and WebP files it is stored in the Exif block, see
// exif.go.
//
//   - "kleinbild": this struct as JSON, the only text that Kleinbild reads back
//   - "parameters": the same for people, in the lines that other programs show
//   - "Software": Kleinbild and its version
//
// A PNG file also has the mask of an edit, if it is small, in a chunk of its own (edit.go).
//
// It contains no time, so that a repeated run gives the same file. In text that is not valid UTF-8 each bad byte is
// replaced by U+FFFD. Only the base names of the references' paths are written, because people share pictures.
type Metadata struct {
	Prompt            string          `json:"prompt"`
	NegativePrompt    string          `json:"negative_prompt,omitempty"`
	Seed              uint64          `json:"seed"`
	Steps             int             `json:"steps"`
	Guidance          float64         `json:"guidance"`
	Width             int             `json:"width"`
	Height            int             `json:"height"`
	Model             string          `json:"model"`
	ModelDigest       string          `json:"model_digest"`
	Variant           string          `json:"variant"`
	Precision         string          `json:"precision"`
	Device            string          `json:"device"`
	MaxSequenceLength int             `json:"max_sequence_length"`
	References        []ReferenceFile `json:"references,omitempty"`
	LoRAs             []LoRAFile      `json:"loras,omitempty"`
	Edit              *Edit           `json:"edit,omitempty"`    // nil unless a part of image 1 was edited
	Upscale           *Upscale        `json:"upscale,omitempty"` // nil unless the picture was enlarged afterwards
	Version           string          `json:"version"`           // of Kleinbild
}

// Upscale says how a picture was enlarged after it was made. Width and Height of Metadata are those before.
type Upscale struct {
	Model  string `json:"model"` // the name of the file, without its folder
	SHA256 string `json:"sha256"`
	Width  int    `json:"width"` // of the enlarged picture
	Height int    `json:"height"`
	// Refine is how the model worked the enlarged picture over, nil if it did not.
	Refine *Refine `json:"refine,omitempty"`
}

// Refine says with what a model worked an enlarged picture over, tile by tile.
type Refine struct {
	Prompt      string     `json:"prompt"`
	Strength    float64    `json:"strength"`
	Steps       int        `json:"steps"`
	Seed        uint64     `json:"seed"`
	Model       string     `json:"model"`
	ModelDigest string     `json:"model_digest"`
	Precision   string     `json:"precision"`
	Device      string     `json:"device"`
	LoRAs       []LoRAFile `json:"loras,omitempty"`
}

// RefineOf returns what the metadata of a refined tile say of the refinement.
func RefineOf(m Metadata) *Refine {
	r := &Refine{
		Prompt: m.Prompt, Steps: m.Steps, Seed: m.Seed, Model: m.Model, ModelDigest: m.ModelDigest, Precision: m.Precision,
		Device: m.Device, LoRAs: m.LoRAs,
	}
	if m.Edit != nil {
		r.Strength = m.Edit.Strength
	}
	return r
}

// ErrNoMetadata is wrapped by the error of ReadMetadata for an undamaged picture file that Kleinbild did not write.
var ErrNoMetadata = errors.New("no Kleinbild metadata")

const (
	keyword        = "kleinbild"
	metadataFormat = 1
	// editFormat is the format of a picture with an Edit. Versions that do not know edits would make another picture from
	// it, so they must refuse it.
	editFormat = 2
	// arrangedFormat is the format of a picture with a reference that was arranged, for the same reason.
	arrangedFormat = 3
	// areaFormat is the format of a picture with an Edit that has an area, for the same reason.
	areaFormat   = 4
	newestFormat = areaFormat
)

// record is the JSON in a file. Its format number increases when a reader of the old format would misread the new one.
type record struct {
	Format int `json:"format"`
	Metadata
}

// format returns the lowest format of m that its readers understand.
func (m Metadata) format() int {
	arranged := func(r ReferenceFile) bool { return r.Arrangement != Arrangement{} }
	switch {
	case m.Edit != nil && m.Edit.Area != [4]int{}:
		return areaFormat
	case slices.ContainsFunc(m.References, arranged):
		return arrangedFormat
	case m.Edit != nil:
		return editFormat
	}
	return metadataFormat
}

// Check returns an error if a PNG file cannot hold m, which in practice means a prompt of half a megabyte. Callers
// check before they compute a picture, because Write refuses the same metadata.
func (m Metadata) Check() error {
	if _, err := m.chunks(); err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	return nil
}

// json returns the JSON that is written for m.
func (m Metadata) json() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(record{m.format(), m.WithoutFolders()}); err != nil {
		return nil, fmt.Errorf("metadata: %w", err)
	}
	if text.Len() > maxMetadataBytes {
		return nil, fmt.Errorf("metadata of %d bytes, want at most %d", text.Len(), maxMetadataBytes)
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

func (m Metadata) software() string { return strings.TrimSpace(programName + " " + m.Version) }

// chunks returns the three text chunks for m, and the chunk for its mask before them: ReadMask need not read the
// pixels.
func (m Metadata) chunks() ([]byte, error) {
	own, err := m.json()
	if err != nil {
		return nil, err
	}
	var chunks []byte
	if m.Edit != nil {
		if mask := m.Edit.Mask.chunk(); mask != nil {
			chunks = appendChunk(chunks, maskChunk, mask)
		}
	}
	for _, entry := range []struct{ keyword, text string }{
		{keyword, string(own)},
		{keywordParameters, m.parameters()},
		{"Software", m.software()},
	} {
		// A NUL would end the text in readers that use C strings.
		clean := strings.ReplaceAll(strings.ToValidUTF8(entry.text, "\uFFFD"), "\x00", "\uFFFD")
		// After the keyword: not compressed, method 0, no language tag, no translated keyword.
		chunks = appendChunk(chunks, "iTXt", []byte(entry.keyword+"\x00\x00\x00\x00\x00"+clean))
	}
	return chunks, nil
}

// parameters returns the settings as the lines of text that AUTOMATIC1111 writes and viewers of generated pictures
// show.
func (m Metadata) parameters() string {
	var s strings.Builder
	s.WriteString(m.Prompt)
	if m.NegativePrompt != "" {
		s.WriteString("\nNegative prompt: " + m.NegativePrompt)
	}
	digest := m.ModelDigest
	if len(digest) > 10 {
		digest = digest[:10]
	}
	fmt.Fprintf(&s, "\nSteps: %d, Sampler: Euler, CFG scale: %s, Seed: %d, Size: %dx%d, Model hash: %s, Model: %s, ",
		m.Steps, strconv.FormatFloat(m.Guidance, 'g', -1, 64), m.Seed, m.Width, m.Height, digest, m.Model)
	if m.Edit != nil {
		fmt.Fprintf(&s, "Denoising strength: %s, ", strconv.FormatFloat(m.Edit.Strength, 'g', -1, 64))
	}
	s.WriteString("Version: Kleinbild " + m.Version)
	return s.String()
}

// EncodePNG writes img as a PNG file with meta in its text chunks. Equal arguments give equal bytes.
func EncodePNG(w io.Writer, img image.Image, meta Metadata) error {
	if err := encode(w, img, &meta); err != nil {
		return fmt.Errorf("picture: %w", err)
	}
	return nil
}

// encode writes img as a PNG file, with meta unless it is nil.
func encode(w io.Writer, img image.Image, meta *Metadata) (err error) {
	var chunks []byte
	if meta != nil {
		if chunks, err = meta.chunks(); err != nil {
			return err
		}
	}
	if o, ok := img.(*Original); ok {
		chunks = append(o.pngDeclarations(), chunks...)
	}
	return writePNG(w, img, chunks)
}

// ReadMetadata returns the metadata that Kleinbild wrote into the PNG, JPEG, WebP or TIFF file read from r. It finds
// the metadata also where other programs move it when they save the picture again. It decodes no pixels and holds at
// most a few megabytes. The values come from a stranger's file, so a caller that computes with them must check them
// like user input.
func ReadMetadata(r io.Reader) (Metadata, error) {
	meta, err := readMetadata(r)
	if err != nil {
		return Metadata{}, fmt.Errorf("picture: %w", err)
	}
	return meta, nil
}

// ReadMetadataFile is ReadMetadata for the file at path. Its errors name the path.
func ReadMetadataFile(path string) (Metadata, error) {
	file, err := openRegular(path)
	if err != nil {
		return Metadata{}, err
	}
	defer file.Close()
	meta, err := readMetadata(file)
	if err != nil {
		return Metadata{}, fmt.Errorf("picture: %s: %w", path, err)
	}
	return meta, nil
}

func readMetadata(r io.Reader) (Metadata, error) {
	texts, err := readTexts(bufio.NewReader(r))
	for _, t := range texts {
		if t.keyword == keyword {
			if t.problem != nil {
				return Metadata{}, t.problem
			}
			own, err := readOwn(t.value)
			return own.Metadata, err
		}
	}
	if err != nil {
		return Metadata{}, err
	}
	return Metadata{}, ErrNoMetadata
}
