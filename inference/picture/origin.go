package picture

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Origin describes how a picture was made, as its file says. The values come from a stranger's file. Those of other
// programs are within the limits of limits.go; Kleinbild's own are returned unchanged.
type Origin struct {
	Program string // "Kleinbild", "ComfyUI", …
	// Metadata has the values that the program wrote; other fields are zero.
	Metadata
	HasSeed bool
	// Complete reports whether Metadata is Kleinbild's own, with everything needed to generate the picture again.
	Complete bool
	// Ignored lists the settings that Kleinbild does not have, and Notes the values that were changed. Each is one line,
	// for people.
	Ignored, Notes []string
}

// The keywords of the texts that programs write.
const (
	keywordParameters = "parameters"        // AUTOMATIC1111, and programs that write the same text
	keywordPrompt     = "prompt"            // ComfyUI: the graph that was executed
	keywordWorkflow   = "workflow"          // ComfyUI: the graph as the editor shows it
	keywordInvokeAI   = "invokeai_metadata" // InvokeAI 3 and later
	keywordSDMetadata = "sd-metadata"       // InvokeAI 2
	keywordDream      = "Dream"             // the predecessor of InvokeAI: a command line
)

// dialects lists the formats of metadata that are read. A file may contain several texts, so they are tried in this
// order. A reader returns ErrNoMetadata for a text that it does not understand.
var dialects = []struct {
	keyword string
	read    func(value string) (Origin, error)
}{
	{keyword, readOwn},
	{keywordInvokeAI, readInvokeAI},
	{keywordPrompt, readComfyUI},
	{keywordWorkflow, readComfyUIWorkflow},
	{keywordParameters, readParameters},
	{keywordSDMetadata, readSDMetadata},
	{keywordDream, readDream},
}

// ReadOrigin is like ReadMetadata and also understands the metadata of other programs. It reads PNG, JPEG, WebP and
// TIFF files.
func ReadOrigin(r io.Reader) (Origin, error) {
	origin, err := readOrigin(r)
	if err != nil {
		return Origin{}, fmt.Errorf("picture: %w", err)
	}
	return origin, nil
}

// ReadOriginFile is ReadOrigin for the file at path. Its errors name the path.
func ReadOriginFile(path string) (Origin, error) {
	file, err := openRegular(path)
	if err != nil {
		return Origin{}, err
	}
	defer file.Close()
	origin, err := readOrigin(file)
	if err != nil {
		return Origin{}, fmt.Errorf("picture: %s: %w", path, err)
	}
	return origin, nil
}

func readOrigin(r io.Reader) (Origin, error) {
	texts, err := readTexts(bufio.NewReader(r))
	var tooLong error
	for _, d := range dialects {
		for _, t := range texts {
			if t.keyword != d.keyword {
				continue
			}
			if t.problem != nil {
				tooLong = cmp.Or(tooLong, t.problem)
				continue
			}
			origin, problem := d.read(t.value)
			if problem == nil && tooLong != nil {
				origin.note("%v", tooLong)
			}
			if problem == nil || d.keyword == keyword {
				return origin, problem
			}
		}
	}
	if err = cmp.Or(tooLong, err); err != nil {
		return Origin{}, err
	}
	return Origin{}, ErrNoMetadata
}

// readTexts returns the texts of a PNG, JPEG, WebP or TIFF file.
func readTexts(r *bufio.Reader) ([]text, error) {
	head, err := r.Peek(12)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case hasMagic(head, "\xff\xd8\xff"):
		return jpegTexts(r)
	case hasMagic(head, "RIFF????WEBP"):
		return webpTexts(r)
	case hasMagic(head, "II*\x00"), hasMagic(head, "MM\x00*"):
		return tiffTexts(r)
	}
	texts, err := pngTexts(r)
	if err != nil && !hasMagic(head, pngSignature[:min(len(head), len(pngSignature))]) {
		err = fmt.Errorf("%w, JPEG, WebP or TIFF", err)
	}
	return texts, err
}

// readOwn parses Kleinbild's own JSON.
func readOwn(value string) (Origin, error) {
	var r record
	if err := json.Unmarshal([]byte(value), &r); err != nil {
		return Origin{}, fmt.Errorf("metadata: %w", err)
	}
	if r.Format < metadataFormat || r.Format > newestFormat {
		return Origin{}, fmt.Errorf("metadata of format %d, want %d to %d", r.Format, metadataFormat, newestFormat)
	}
	if err := r.Metadata.checkNames(); err != nil {
		return Origin{}, err
	}
	return Origin{Program: programName, Metadata: r.Metadata, HasSeed: true, Complete: true}, nil
}

// checkNames returns an error if m has more references, or longer names, than Kleinbild writes.
func (m Metadata) checkNames() error {
	names := []string{m.Model, m.ModelDigest, m.Variant, m.Precision, m.Device, m.Version}
	if len(m.References) > maxReferenceFiles {
		return fmt.Errorf("metadata: found %d reference pictures, want at most %d", len(m.References), maxReferenceFiles)
	}
	for _, r := range m.References {
		names = append(names, r.Path, r.SHA256)
	}
	if m.Edit != nil && m.Edit.Mask != nil {
		mask := m.Edit.Mask
		names = append(names, mask.File.Path, mask.File.SHA256, mask.SHA256)
	}
	if m.Upscale != nil {
		names = append(names, m.Upscale.Model, m.Upscale.SHA256)
		if r := m.Upscale.Refine; r != nil {
			names = append(names, r.Model, r.ModelDigest, r.Precision, r.Device)
		}
	}
	for _, name := range names {
		if len(name) > maxNameBytes {
			return fmt.Errorf("metadata: found a name of %d bytes, want at most %d", len(name), maxNameBytes)
		}
	}
	return nil
}

const programName = "Kleinbild"

// note adds a line to Notes.
func (o *Origin) note(format string, args ...any) { keep(&o.Notes, format, args...) }

// keep adds a line for people, shortened to maxNoteRunes. Characters that could control a terminal are replaced.
func keep(lines *[]string, format string, args ...any) {
	if len(*lines) >= maxNotes {
		return
	}
	line := strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")
	if runes := []rune(line); len(runes) > maxNoteRunes {
		line = string(runes[:maxNoteRunes]) + "…"
	}
	*lines = append(*lines, strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, line))
}

// ignore adds a setting that Kleinbild does not have to Ignored, unless its value is "".
func (o *Origin) ignore(name, value string) {
	if value != "" {
		keep(&o.Ignored, "%s %s", name, value)
	}
}

// prompt sets the prompts, cleaned and shortened. The negative prompt is kept for people, because the model ignores it.
func (o *Origin) prompt(positive, negative string) {
	take := func(name, prompt string) string {
		prompt = strings.TrimSpace(withoutControls(strings.ToValidUTF8(prompt, "\uFFFD")))
		if len(prompt) > maxForeignPrompt {
			cut := maxForeignPrompt
			for !utf8.RuneStart(prompt[cut]) {
				cut--
			}
			o.note("%s of %d bytes, of which the first %d are taken", name, len(prompt), cut)
			prompt = prompt[:cut]
		}
		return prompt
	}
	o.Prompt, o.NegativePrompt = take("prompt", positive), take("negative prompt", negative)
	if o.NegativePrompt != "" {
		keep(&o.Ignored, "the negative prompt")
	}
}

// withoutControls returns text without control characters other than line ends and tabs. No prompt needs them, and a
// terminal obeys them.
func withoutControls(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text))
}

// seed parses and sets the seed. An invalid seed is added to Ignored.
func (o *Origin) seed(written string) {
	seed, err := strconv.ParseUint(strings.TrimSpace(written), 10, 64)
	switch {
	case written == "":
	case err != nil:
		keep(&o.Ignored, "seed %s (want a whole number from 0 on)", written)
	default:
		o.Seed, o.HasSeed = seed, true
	}
}

// steps parses and sets the number of steps. An invalid number is added to Ignored.
func (o *Origin) steps(written string) {
	steps, err := strconv.Atoi(strings.TrimSpace(written))
	switch {
	case written == "":
	case err != nil || steps < 1 || steps > maxForeignSteps:
		keep(&o.Ignored, "steps %s (want 1 to %d)", written, maxForeignSteps)
	default:
		o.Steps = steps
	}
}

// size parses and sets the size, rounded to the nearest valid output. Invalid sides are added to Ignored.
func (o *Origin) size(width, height string) {
	if width == "" && height == "" {
		return
	}
	w, errW := strconv.Atoi(strings.TrimSpace(width))
	h, errH := strconv.Atoi(strings.TrimSpace(height))
	if errW != nil || errH != nil || w < 1 || h < 1 || w > 1<<20 || h > 1<<20 {
		keep(&o.Ignored, "size %sx%s (want pixels)", width, height)
		return
	}
	size := Size{w, h}
	nearest := size.Nearest()
	if nearest != size {
		o.note("size %v becomes %v, the nearest that can be made", size, nearest)
	}
	o.Width, o.Height = nearest.Width, nearest.Height
}

// empty reports whether o has no value that Kleinbild can use.
func (o *Origin) empty() bool { return o.Prompt == "" && !o.HasSeed && o.Steps == 0 && o.Width == 0 }

// looseJSON decodes a stranger's JSON. Fields of another type than expected are left out. It returns false only if
// value is not JSON.
func looseJSON(value string, into any) bool {
	return json.Unmarshal([]byte(value), into) == nil || json.Valid([]byte(value))
}
