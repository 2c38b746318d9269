package picture

import (
	"image"
	"testing"
)

// TestDiffers changes one thing at a time of the metadata of a picture.
func TestDiffers(t *testing.T) {
	asked := func() Metadata {
		feather := 4
		mask := NewMask(ReferenceFile{Path: "/photos/mask.png", SHA256: "dd"}, image.NewGray(image.Rect(0, 0, 8, 8)))
		return Metadata{
			Prompt: "a fox", Seed: 7, Steps: 4, Guidance: 1, Width: 64, Height: 96, Model: "klein", ModelDigest: "m",
			Variant: "distilled", Precision: "bf16", Device: "cpu", MaxSequenceLength: 512, Version: "1",
			References: []ReferenceFile{{Path: "/photos/a.png", SHA256: "aa"}, {Path: "b.png", SHA256: "bb"}},
			LoRAs:      []LoRAFile{{"ink", "11", 1}, {"wash", "22", -0.5}},
			Edit:       &Edit{Mask: mask, Strength: 1, Feather: &feather, MatchColours: true},
		}
	}
	for _, row := range []struct {
		name   string
		change func(m *Metadata)
		want   string
	}{
		{"nothing", func(*Metadata) {}, ""},
		{"another device", func(m *Metadata) { m.Device = "card" }, ""},
		{"another version", func(m *Metadata) { m.Version = "2" }, ""},
		{"a model that was renamed", func(m *Metadata) { m.Model = "mine" }, ""},
		{"files that were renamed", func(m *Metadata) {
			m.References[0].Path, m.LoRAs[0].Name, m.Edit.Mask.File.Path = "a.png", "old", "mask.png"
		}, ""},
		{"as it is written and read", func(m *Metadata) { *m = m.WithoutFolders(); m.Edit.Mask.Levels = nil }, ""},
		{"LoRAs in another order", func(m *Metadata) { m.LoRAs[0], m.LoRAs[1] = m.LoRAs[1], m.LoRAs[0] }, ""},
		{"prompt", func(m *Metadata) { m.Prompt = "a box" }, "prompt"},
		{"seed", func(m *Metadata) { m.Seed++ }, "seed"},
		{"model", func(m *Metadata) { m.ModelDigest = "n" }, "model"},
		{"precision", func(m *Metadata) { m.Precision = "int8" }, "precision"},
		{"tokens", func(m *Metadata) { m.MaxSequenceLength = 64 }, "number of text tokens"},
		{"steps", func(m *Metadata) { m.Steps = 5 }, "number of steps"},
		{"guidance", func(m *Metadata) { m.Guidance = 2 }, "guidance"},
		{"another photo", func(m *Metadata) { m.References[0].SHA256 = "cc" }, "set of references"},
		{"photos in another order", func(m *Metadata) {
			m.References[0], m.References[1] = m.References[1], m.References[0]
		}, "set of references"},
		{"no photo", func(m *Metadata) { m.References = nil }, "set of references"},
		{"a photo that was turned", func(m *Metadata) { m.References[0].Arrangement.Mirrored = true }, "set of references"},
		{"another strength of a LoRA", func(m *Metadata) { m.LoRAs[1].Strength = 0.5 }, "set of LoRAs"},
		{"one LoRA less", func(m *Metadata) { m.LoRAs = m.LoRAs[:1] }, "set of LoRAs"},
		{"no edit", func(m *Metadata) { m.Edit = nil }, "edit"},
		{"no mask", func(m *Metadata) { m.Edit.Mask = nil }, "edit"},
		{"another mask", func(m *Metadata) { m.Edit.Mask.SHA256 = "ee" }, "edit"},
		{"another feather", func(m *Metadata) { *m.Edit.Feather = 5 }, "edit"},
		{"size", func(m *Metadata) { m.Width = 96 }, "size"},
	} {
		m := asked()
		row.change(&m)
		if got, back := asked().Differs(m), m.Differs(asked()); got != row.want || back != row.want {
			t.Errorf("%s: %q and %q, want %q", row.name, got, back, row.want)
		}
	}
}
