package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// editFlags are the flags that change a part of image 1. Numbers and words are read by the engine's parsers.
type editFlags struct {
	Mask          string     `placeholder:"FILE" help:"${mask_help}"`
	Remove        bool       `help:"Remove what the mask marks: a prompt of the program's own takes the place of -p."`
	Strength      numberFlag `placeholder:"S" help:"${strength_help}"`
	Extend        numberFlag `placeholder:"L,T,R,B" help:"${extend_help}"`
	Feather       numberFlag `placeholder:"PX" help:"${feather_help}"`
	Context       numberFlag `placeholder:"PX" help:"${context_help}"`
	Area          numberFlag `placeholder:"X,Y,W,H" help:"${area_help}"`
	Whole         bool       `help:"Work on the whole picture instead of the part around the mask."`
	MatchColours  string     `placeholder:"on|off" help:"${match_colours_help}"`
	Source        string     `placeholder:"NAME" help:"${source_help}"`
	KeepUnchanged numberFlag `placeholder:"A" help:"${keep_unchanged_help}"`
}

// maskAlpha is the value of --mask that stands for the transparency of image 1.
const maskAlpha = "alpha"

// given says which of the engine's fields the flags set.
func (f editFlags) given() map[inference.Field]bool {
	return map[inference.Field]bool{
		inference.FieldMask: f.Mask != "", inference.FieldStrength: f.Strength != "",
		inference.FieldExtend: f.Extend != "", inference.FieldFeather: f.Feather != "",
		inference.FieldContext: f.Context != "" || f.Whole, inference.FieldArea: f.Area != "",
		inference.FieldMatchColours: f.MatchColours != "",
		inference.FieldHidden:       f.Source != "", inference.FieldKeepUnchanged: f.KeepUnchanged != "",
	}
}

// any says whether a flag is given.
func (f editFlags) any() bool { return f != (editFlags{}) }

// edit returns earlier, the edit of the picture of --like or nil, with what the flags change. It returns an error if a
// flag cannot be read at all. It does not check limits.
func (f editFlags) edit(earlier *inference.Edit) (e *inference.Edit, err error) {
	if !f.any() {
		return earlier, nil
	}
	e = new(inference.Edit)
	if earlier != nil {
		*e = *earlier
	}
	if f.Mask == maskAlpha {
		e.Mask, e.Extend = inference.AlphaMask{}, inference.Extension{}
	} else if f.Mask != "" {
		e.Mask, e.Extend = &maskFile{path: f.Mask}, inference.Extension{}
	}
	if f.Extend != "" {
		if e.Extend, err = inference.ParseExtension(string(f.Extend)); err != nil {
			return nil, err
		}
		if f.Mask == "" { // else the engine says that one of both is wanted
			e.Mask = nil
		}
	}
	if f.Mask != "" || f.Extend != "" || f.Whole || f.Context != "" {
		e.Area = nil // the earlier one is for another mask, or replaced
	}
	if f.Area != "" {
		if e.Area, err = inference.ParseArea(string(f.Area)); err != nil {
			return nil, err
		}
		e.Whole, e.Context = false, nil
	}
	if f.Strength != "" {
		if e.Strength, err = inference.ParseStrength(string(f.Strength)); err != nil {
			return nil, err
		}
	}
	if f.Feather != "" {
		if e.Feather, err = inference.ParseFeather(string(f.Feather)); err != nil {
			return nil, err
		}
	}
	if f.Whole {
		e.Whole, e.Context = true, nil
	}
	if f.Context != "" {
		if e.Context, err = inference.ParseContext(string(f.Context)); err != nil {
			return nil, err
		}
		e.Whole = f.Whole
	}
	if f.KeepUnchanged != "" {
		if e.KeepUnchanged, err = inference.ParseKeepUnchanged(string(f.KeepUnchanged)); err != nil {
			return nil, err
		}
	}
	switch f.MatchColours {
	case "":
	case "on", "off":
		e.MatchColours = new(f.MatchColours == "on")
	default:
		return nil, inference.Unreadable(inference.FieldMatchColours, f.MatchColours)
	}
	switch f.Source {
	case "":
	case "reference", "hidden":
		e.Hidden = f.Source == "hidden"
	default:
		return nil, inference.Unreadable(inference.FieldHidden, f.Source)
	}
	return e, nil
}

// checkRemove returns an error if --remove is given without a mask, or with a prompt.
func (c *generateCommand) checkRemove(e *inference.Edit) error {
	switch {
	case !c.Remove:
		return nil
	case e == nil || e.Mask == nil:
		return usagef("--remove: found no mask, want --mask FILE that marks what to remove")
	case c.Prompt != nil:
		return usagef("--remove: found -p as well, want one of both: --remove has a prompt of its own")
	}
	return nil
}

// changesSize says whether the flags make a picture of another size than that of --like.
func (f editFlags) changesSize() bool { return f.Mask != "" || f.Extend != "" || f.KeepUnchanged != "" }

// paints says whether the request changes a part of image 1.
func (b *batch) paints() bool {
	e, ok := b.request.Editing()
	return ok && !e.Area.Empty()
}

// repeatEdit returns the edit of the picture of --like. Its mask is in that picture, or in a file that finder finds.
func (c *generateCommand) repeatEdit(e picture.Edit, finder *referenceFinder) *inference.Edit {
	again := &inference.Edit{
		Feather: e.Feather, Context: e.Context, Whole: e.Whole, MatchColours: &e.MatchColours,
		Hidden: e.SourceHidden,
		Extend: inference.Extension{Margins: inference.Margins{
			Left: e.Extend[0], Top: e.Extend[1], Right: e.Extend[2], Bottom: e.Extend[3],
		}},
	}
	if e.Strength != 1 {
		again.Strength = &e.Strength
	}
	if e.KeepUnchanged != 0 {
		again.KeepUnchanged = &e.KeepUnchanged
	}
	if a := e.Area; a != [4]int{} {
		again.Area = &image.Rectangle{Min: image.Pt(a[0], a[1]), Max: image.Pt(a[0]+a[2], a[1]+a[3])}
	}
	if e.Mask != nil {
		again.Mask = earlierMask{finder, *e.Mask}
	}
	return again
}

// editNote says on one line what part of image 1 the model works on.
func editNote(e inference.Editing) string {
	if e.Area.Empty() {
		return fmt.Sprintf("image 1 is edited as a whole, at %v, with strength %v", e.Work, e.Strength)
	}
	scale := "at its own size"
	if s := e.Scale; s != 1 {
		scale = fmt.Sprintf("at %s times its size", strconv.FormatFloat(s, 'f', 2, 64))
	}
	return fmt.Sprintf("the model works on %d×%d pixels of %v from (%d, %d), %s: %v",
		e.Area.Dx(), e.Area.Dy(), e.Picture, e.Area.Min.X, e.Area.Min.Y, scale, e.Work)
}

// editedReport is the JSON of what an edit did.
type editedReport struct {
	// Area is the part of the picture that the model worked on, nil if it made all of it.
	Area *areaReport `json:"area,omitempty"`
	// WorkWidth and WorkHeight are the size at which the model worked on it, Scale what an area's side was multiplied by.
	WorkWidth  int     `json:"work_width"`
	WorkHeight int     `json:"work_height"`
	Scale      float64 `json:"scale"`
	// Changed is the share of the picture's pixels that are others than those of image 1.
	Changed float64 `json:"changed"`
}

type areaReport struct {
	X      int `json:"x"`
	Y      int `json:"y"`
	Width  int `json:"width"`
	Height int `json:"height"`
}

func newEditedReport(e *inference.Edited) *editedReport {
	if e == nil {
		return nil
	}
	r := &editedReport{WorkWidth: e.Work.Width, WorkHeight: e.Work.Height, Scale: e.Scale, Changed: e.Changed}
	if a := e.Area; !a.Empty() {
		r.Area = &areaReport{a.Min.X, a.Min.Y, a.Dx(), a.Dy()}
	}
	return r
}

// editRows are the rows of info for an edit.
func editRows(e *picture.Edit) (rows [][2]string) {
	if e == nil {
		return nil
	}
	add := func(name string, value any) { rows = append(rows, [2]string{name, fmt.Sprint(value)}) }
	if m := e.Mask; m != nil {
		text := fmt.Sprintf("%dx%d (SHA-256 %s)", m.Width, m.Height, m.SHA256)
		switch {
		case m.Alpha:
			text = "the transparency of image 1"
		case m.File.Path != "":
			text = m.File.Path + ", " + text
		}
		add("mask", text)
	}
	add("strength", e.Strength)
	if e.Extend != [4]int{} {
		add("extended by", fmt.Sprintf("%d,%d,%d,%d", e.Extend[0], e.Extend[1], e.Extend[2], e.Extend[3]))
	}
	if e.Feather != nil {
		add("feather", *e.Feather)
	}
	if e.Context != nil {
		add("context", *e.Context)
	}
	if a := e.Area; a != [4]int{} {
		add("area", fmt.Sprintf("%d,%d,%d,%d", a[0], a[1], a[2], a[3]))
	}
	if e.Whole {
		add("area", "the whole picture")
	}
	add("match colours", map[bool]string{true: "on", false: "off"}[e.MatchColours])
	if e.SourceHidden {
		add("source", "hidden")
	}
	if e.KeepUnchanged != 0 {
		add("keep unchanged", e.KeepUnchanged)
	}
	return rows
}

// maskFile is the file of a mask: white changes, black stays.
type maskFile struct {
	path   string
	digest string // of the file's bytes, set by OpenMask
}

// OpenMask reads the mask.
func (m *maskFile) OpenMask(ctx context.Context, original *picture.Original) (*inference.Mask, error) {
	levels, err := picture.OpenMask(ctx, m.path)
	if err != nil {
		return nil, err
	}
	m.digest = levels.FileSHA256
	return inference.MaskImage{Image: levels}.OpenMask(ctx, original)
}

// File has the absolute path, which stays valid in another working directory.
func (m *maskFile) File() picture.ReferenceFile {
	path, err := filepath.Abs(m.path)
	if err != nil {
		path = m.path
	}
	return picture.ReferenceFile{Path: path, SHA256: m.digest}
}

// isEarlierMask says whether path is the file of the mask of the picture of --like. That names no folder, and may hold
// the mask itself, so that nobody has searched for the file: its content tells.
func (c *generateCommand) isEarlierMask(b *batch, path string) bool {
	if c.Mask != "" || b.like == nil || b.like.Edit == nil || b.like.Edit.Mask == nil {
		return false
	}
	want := b.like.Edit.Mask.File.SHA256
	if info, err := os.Stat(path); want == "" || err != nil || !info.Mode().IsRegular() {
		return false
	}
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close()
	digest := sha256.New()
	_, err = io.Copy(digest, file)
	return err == nil && hex.EncodeToString(digest.Sum(nil)) == want
}

// earlierMask is the mask of the picture of --like.
type earlierMask struct {
	*referenceFinder
	mask picture.Mask
}

// OpenMask takes the mask out of that picture, or finds and reads its file.
func (m earlierMask) OpenMask(ctx context.Context, original *picture.Original) (*inference.Mask, error) {
	if m.mask.Alpha {
		return inference.AlphaMask{}.OpenMask(ctx, original)
	}
	levels, err := m.mask.ReadMaskFile(m.like)
	if err == nil {
		return inference.MaskImage{Image: levels}.OpenMask(ctx, original)
	}
	path, missing := m.find(ctx, m.mask.File)
	if missing != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("%w, and its file was not found; give it again with --mask", err)
		}
		return nil, err
	}
	return inference.MaskFile(path).OpenMask(ctx, original)
}

// File names the same file as the picture of --like does.
func (m earlierMask) File() picture.ReferenceFile { return m.mask.File }
