package picture

import (
	"fmt"
	"math"
	"strings"
)

// Preparation describes how a reference was changed for a model: its colours were converted, it was scaled down, and
// its edges were cropped.
type Preparation struct {
	Original Size `json:"original"` // of the picture in the file, upright and arranged
	Size     Size `json:"size"`     // of the picture that the model sees
	// The pixels that were cropped at each edge, in pixels of the scaled picture.
	Left   int `json:"left"`
	Right  int `json:"right"`
	Top    int `json:"top"`
	Bottom int `json:"bottom"`

	Profile     string `json:"profile,omitempty"`      // as Reference.Profile
	ProfileNote string `json:"profile_note,omitempty"` // as Reference.ProfileNote
}

// Preparation returns how the reference is changed for a model whose native picture is native × native pixels; native
// is 0 if that is unknown.
func (r *Reference) Preparation(native int) Preparation {
	p := Preparation{Original: r.Original, Size: r.SizeFor(native), Profile: r.Profile, ProfileNote: r.ProfileNote}
	scaled := r.Original.fit(MaxArea)
	if p.Size != r.Size {
		// The picture is cropped twice. Both crops are given together, in pixels of the second scaling.
		small := r.Size.fit(nativeArea(native))
		times := func(length, from, to int) int {
			return int(math.Round(float64(length) * float64(to) / float64(from)))
		}
		scaled = Size{times(scaled.Width, r.Size.Width, small.Width), times(scaled.Height, r.Size.Height, small.Height)}
	}
	across, down := scaled.Width-p.Size.Width, scaled.Height-p.Size.Height
	p.Left, p.Top = across/2, down/2
	p.Right, p.Bottom = across-p.Left, down-p.Top
	return p
}

// PreparationOf returns how a picture of that size is changed for a model, as Reference.Preparation does.
func PreparationOf(original Size, native int) Preparation {
	return (&Reference{Original: original, Size: original.fit(MaxArea).cropped()}).Preparation(native)
}

// Changed reports whether the model sees a picture that differs from the one in the file.
func (p Preparation) Changed() bool { return p.Resized() || p.Profile != "" || p.ProfileNote != "" }

// Resized reports whether the model sees fewer pixels than the file has.
func (p Preparation) Resized() bool { return p.Original != p.Size }

// String describes the changes for people, for example:
// "3024×4032 → 880×1168, 3 px cropped at the left and 4 at the right; colours converted from Display P3".
func (p Preparation) String() string {
	text := p.sizes()
	if p.Profile != "" {
		text += "; colours converted from " + p.Profile
	}
	if p.ProfileNote != "" {
		text += "; " + p.ProfileNote
	}
	return text
}

func (p Preparation) sizes() string {
	text := fmt.Sprintf("%d×%d", p.Original.Width, p.Original.Height)
	if !p.Resized() {
		return text
	}
	text += fmt.Sprintf(" → %d×%d", p.Size.Width, p.Size.Height)
	var edges []string
	for _, edge := range []struct {
		name   string
		pixels int
	}{{"left", p.Left}, {"right", p.Right}, {"top", p.Top}, {"bottom", p.Bottom}} {
		unit := " px cropped"
		if len(edges) > 0 {
			unit = ""
		}
		if edge.pixels > 0 {
			edges = append(edges, fmt.Sprintf("%d%s at the %s", edge.pixels, unit, edge.name))
		}
	}
	if len(edges) == 0 {
		return text
	}
	if last := len(edges) - 1; last > 0 {
		edges = append(edges[:last-1], edges[last-1]+" and "+edges[last])
	}
	return text + ", " + strings.Join(edges, ", ")
}
