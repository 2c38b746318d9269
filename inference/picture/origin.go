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

// Origin is what a picture says of how it was made. The values are a stranger's: those of other programs are within the
// limits, those of Kleinbild's are as the file has them.
type Origin struct {
	Program string // "Kleinbild", "ComfyUI", …
	// Metadata has the fields that the program wrote; the others are zero.
	Metadata
	HasSeed bool
	// Complete says that Metadata is Kleinbild's own, with all that makes the picture again.
	Complete bool
	// Ignored are the settings that mean nothing here, Notes say what was changed: a line each, for people.
	Ignored, Notes []string
}

// The names of the texts that programs write.
const (
	keywordParameters = "parameters"        // AUTOMATIC1111 and those that write as it does
	keywordPrompt     = "prompt"            // ComfyUI: the graph that ran
	keywordWorkflow   = "workflow"          // ComfyUI: the graph as it is drawn
	keywordInvokeAI   = "invokeai_metadata" // InvokeAI 3 and later
	keywordSDMetadata = "sd-metadata"       // InvokeAI 2
	keywordDream      = "Dream"             // InvokeAI's forerunner, a command line
)

// dialects are the programs whose metadata is understood, in the order in which they are asked: several texts may be in
// one file. A reader returns ErrNoMetadata for what it does not know.
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

// ReadOrigin is ReadMetadata for pictures of other programs as well. Pictures are PNG, JPEG or WebP files.
func ReadOrigin(r io.Reader) (Origin, error) {
	origin, err := readOrigin(r)
	if err != nil {
		return Origin{}, fmt.Errorf("picture: %w", err)
	}
	return origin, nil
}

// ReadOriginFile is ReadOrigin of the file at path, which its errors name.
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

// readTexts finds the texts of a file by its format.
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
	}
	texts, err := pngTexts(r)
	if err != nil && !hasMagic(head, pngSignature[:min(len(head), len(pngSignature))]) {
		err = fmt.Errorf("%w, JPEG or WebP", err)
	}
	return texts, err
}

func readOwn(value string) (Origin, error) {
	var r record
	if err := json.Unmarshal([]byte(value), &r); err != nil {
		return Origin{}, fmt.Errorf("metadata: %w", err)
	}
	if r.Format != metadataFormat {
		return Origin{}, fmt.Errorf("metadata of format %d, want %d", r.Format, metadataFormat)
	}
	if err := r.Metadata.checkNames(); err != nil {
		return Origin{}, err
	}
	return Origin{Program: programName, Metadata: r.Metadata, HasSeed: true, Complete: true}, nil
}

func (m Metadata) checkNames() error {
	names := []string{m.Model, m.ModelDigest, m.Variant, m.Precision, m.Device, m.Version}
	if len(m.References) > maxReferenceFiles {
		return fmt.Errorf("metadata: found %d reference pictures, want at most %d", len(m.References), maxReferenceFiles)
	}
	for _, r := range m.References {
		names = append(names, r.Path, r.SHA256)
	}
	for _, name := range names {
		if len(name) > maxNameBytes {
			return fmt.Errorf("metadata: found a name of %d bytes, want at most %d", len(name), maxNameBytes)
		}
	}
	return nil
}

const programName = "Kleinbild"

// note says what was changed.
func (o *Origin) note(format string, args ...any) { keep(&o.Notes, format, args...) }

// keep adds a line about the file, on one line and not too long, without what would steer a terminal.
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

// ignore keeps the name and value of a setting that means nothing here; value "" is none.
func (o *Origin) ignore(name, value string) {
	if value != "" {
		keep(&o.Ignored, "%s %s", name, value)
	}
}

// prompt takes the prompts. The negative one is kept for people: the model has none.
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

// withoutControls returns text without control characters other than the ends of lines and tabs: no prompt means them,
// and a terminal obeys them.
func withoutControls(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text))
}

// seed takes a seed as it was written.
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

// steps takes the number of steps as it was written.
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

// size takes the sides as they were written, rounded to what the model can draw.
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

// empty says that nothing of use was found.
func (o *Origin) empty() bool { return o.Prompt == "" && !o.HasSeed && o.Steps == 0 && o.Width == 0 }

// looseJSON decodes a stranger's JSON. A field of another type than expected is left out; only what is no JSON is refused.
func looseJSON(value string, into any) bool {
	return json.Unmarshal([]byte(value), into) == nil || json.Valid([]byte(value))
}
