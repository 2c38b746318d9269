package inference

import "github.com/kleinbild/kleinbild/inference/picture"

// NamedMask is a MaskSource that knows the file of its mask, for the metadata of the picture. A picture whose file
// cannot hold the mask itself can be made again if that file is found.
type NamedMask interface {
	MaskSource
	// File names the file. It is called after OpenMask.
	File() picture.ReferenceFile
}

// EditMetadata returns what the metadata of a picture say of its edit, nil if there was none.
func (r Request) EditMetadata() *picture.Edit {
	e := r.editing
	if e == nil {
		return nil
	}
	m := &picture.Edit{
		Strength: e.Strength, Whole: e.Whole, MatchColours: e.MatchColours, SourceHidden: e.Hidden,
		KeepUnchanged: e.KeepUnchanged,
		Extend:        [4]int{e.Margins.Left, e.Margins.Top, e.Margins.Right, e.Margins.Bottom},
	}
	if r.mask == nil {
		return m
	}
	feather, around := e.Feather, e.Context
	m.Feather = &feather
	if around >= 0 {
		m.Context = &around
	}
	if a := e.AskedArea; !a.Empty() {
		m.Area = [4]int{a.Min.X, a.Min.Y, a.Dx(), a.Dy()}
	}
	if e.Margins == (Margins{}) { // else the mask follows from the margins
		m.Mask = picture.NewMask(r.maskFile, r.mask.Gray())
		m.Mask.Alpha = r.mask.Transparency()
	}
	return m
}
