package studio

import (
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// MaxEach bounds the files that one instruction is applied to.
const MaxEach = 1000

// EachOf returns the files that the instruction on the desk is for, that of image 1 first; nil if it is for the desk as
// it is. They belong to d. Image 1 shows what comes of them: another picture in its place ends the instruction.
func (d Desk) EachOf() []string {
	if n := len(d.Each); n < 2 || n > MaxEach || d.image1().Path != d.Each[0] {
		return nil
	}
	return d.Each
}

// SetEach puts files on the desk for one instruction: the first of them as image 1, which the size follows. Those of
// them that are references already leave; other references after image 1 stay.
func (d *Desk) SetEach(paths []string) {
	others := slices.DeleteFunc(slices.Clone(d.Slots[min(1, len(d.Slots)):]), func(s Slot) bool {
		return slices.Contains(paths, s.Path)
	})
	d.Slots = append([]Slot{d.image1()}, others...)
	d.EditPicture(paths[0])
	d.Each = slices.Clone(paths)
}

// dropEach forgets the files of an instruction that has ended.
func (d *Desk) dropEach() {
	if d.EachOf() == nil {
		d.Each = nil
	}
}

// skip takes image 1, which cannot be read, out of the files of one instruction: the next of them becomes image 1. It
// says whether there was one.
func (d *Desk) skip(slot Slot) bool {
	each := d.EachOf()
	if each == nil || d.Slots[0] != slot {
		return false
	}
	d.Slots = slices.Clone(d.Slots)
	d.Slots[0], d.Each = Slot{Path: each[1]}, each[1:]
	d.dropEach()
	return true
}

// NextEach returns a batch for each file that the instruction on the desk is for: what the desk asks for, with the file
// in the place of image 1. Further references stay; a mask does not, because it belongs to one picture. The files are
// read when their turn comes. All batches have the same seed, and an Each that no others have, which is also what their
// pictures have in common in the history. The error is an inference.FieldError.
func (s *Studio) NextEach() ([]Batch, error) {
	d := s.Desk.Desk()
	paths := d.EachOf()
	if paths == nil {
		return nil, errors.New("studio: found no files for one instruction")
	}
	seed, err := d.parseSeed()
	if err != nil {
		return nil, err
	}
	info, _ := s.Model.Info()
	plain := d
	plain.Slots = nil // what is typed is checked without pictures
	match := d.Aspect == picture.Match || d.SizeOfImage1()
	if match {
		plain.Aspect = picture.Square
	}
	ask, err := plain.Ask(info)
	if err != nil {
		return nil, err
	}
	names := s.LoRAs.Names()
	takeTags(&ask, names)
	checked, err := ask.Check()
	if err != nil {
		return nil, err
	}
	size, _ := checked.Size(info)
	if match {
		size = picture.Size{} // that of each picture
	}
	d.Edit.Mask, d.Each = Mask{}, nil
	each := rand.Uint64() | 1 // not 0
	var batches []Batch
	tags := s.LoRAs.TakeTags(d.Prompt)
	for i, path := range paths {
		b := Batch{
			Desk: d, Size: size, Seed: seed, Count: d.Count, Steps: checked.Steps(), Guidance: checked.Guidance(),
			Each: each, Nth: i + 1, Of: len(paths), Group: each, Tags: tags,
		}
		if i > 0 { // image 1 has been read, and may be arranged
			b.Desk.Slots = append([]Slot{{Path: path}}, d.Slots[1:]...)
		}
		batches = append(batches, b)
	}
	ask, err = batches[0].Ask(nil) // what is typed about an edit
	if err == nil {
		_, err = ask.Check()
	}
	return batches, err
}

// unread says whether the batch has a picture that was never read, and so no digest.
func (b Batch) unread() bool {
	return slices.ContainsFunc(b.Desk.Slots, func(s Slot) bool { return s.Digest == "" })
}
