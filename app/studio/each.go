package studio

import (
	"fmt"
	"slices"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// MaxEach bounds the files that one instruction is applied to.
const MaxEach = 1000

// NextEach returns a batch for each of some files: what the desk asks for, with the file in the place of image 1 and at
// its size. Further references stay; a mask does not, because it belongs to one picture. The files are read when their
// turn comes. All batches have the same seed, and an Each that no others have. The error is an inference.FieldError.
func (s *Studio) NextEach(paths []string) ([]Batch, error) {
	if len(paths) == 0 || len(paths) > MaxEach {
		return nil, fmt.Errorf("studio: %d files for one instruction, want 1 to %d", len(paths), MaxEach)
	}
	d := s.Desk.Desk()
	seed, err := d.parseSeed()
	if err != nil {
		return nil, err
	}
	info, _ := s.Model.Info()
	plain := d
	plain.Slots, plain.Aspect = nil, picture.Square // what is typed is checked without pictures
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
	d.Edit.Mask = Mask{}
	d.PickAspect(picture.Match)
	others := d.Slots[min(1, len(d.Slots)):]
	each := inference.RandomSeed()
	var batches []Batch
	tags := s.LoRAs.TakeTags(d.Prompt)
	for _, path := range paths {
		b := Batch{
			Desk: d, Seed: seed, Count: d.Count, Steps: checked.Steps(), Guidance: checked.Guidance(), Each: each,
			Group: newGroup(d.Count), Tags: tags,
		}
		b.Desk.Slots = append([]Slot{{Path: path}}, others...)
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
