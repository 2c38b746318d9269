package picture

import (
	"cmp"
	"reflect"
	"slices"
	"strings"
)

// Differs compares what was asked for when two pictures were made. It returns the first thing in which m and other
// differ, in a word or two for people, or "" if both were made for one request to one model. Where a picture was made,
// by which version of the program, and what the files of its references and adapters are called, is no part of the
// request.
func (m Metadata) Differs(other Metadata) string {
	for _, row := range []struct {
		what string
		a, b any
	}{
		{"prompt", m.Prompt, other.Prompt},
		{"prompt", m.NegativePrompt, other.NegativePrompt},
		{"seed", m.Seed, other.Seed},
		{"model", m.ModelDigest, other.ModelDigest},
		{"model", m.Variant, other.Variant},
		{"precision", m.Precision, other.Precision},
		{"number of text tokens", m.MaxSequenceLength, other.MaxSequenceLength},
		{"number of steps", m.Steps, other.Steps},
		{"guidance", m.Guidance, other.Guidance},
		{"set of references", m.referenceContents(), other.referenceContents()},
		{"set of LoRAs", m.loraContents(), other.loraContents()},
		{"edit", m.Edit.content(), other.Edit.content()},
		{"size", Size{m.Width, m.Height}, Size{other.Width, other.Height}},
	} {
		if !reflect.DeepEqual(row.a, row.b) {
			return row.what
		}
	}
	return ""
}

// referenceContents returns the references without their names.
func (m Metadata) referenceContents() []ReferenceFile {
	list := make([]ReferenceFile, 0, len(m.References))
	for _, r := range m.References {
		list = append(list, ReferenceFile{SHA256: r.SHA256, Arrangement: r.Arrangement})
	}
	return list
}

// loraContents returns the adapters without their names, in an order of their own, because theirs has no meaning.
func (m Metadata) loraContents() []LoRAFile {
	list := make([]LoRAFile, 0, len(m.LoRAs))
	for _, l := range m.LoRAs {
		list = append(list, LoRAFile{SHA256: strings.ToLower(l.SHA256), Strength: l.Strength})
	}
	slices.SortFunc(list, func(a, b LoRAFile) int {
		return cmp.Or(strings.Compare(a.SHA256, b.SHA256), cmp.Compare(a.Strength, b.Strength))
	})
	return list
}

// content returns the edit without the name of its mask's file and without the mask's levels, of which it has the
// digest.
func (e *Edit) content() *Edit {
	if e == nil || e.Mask == nil {
		return e
	}
	edit, mask := *e, *e.Mask
	mask.File, mask.Levels = ReferenceFile{}, nil
	edit.Mask = &mask
	return &edit
}
