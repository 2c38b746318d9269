package studio

import (
	"errors"
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestNextBatch: what is typed on the desk is asked for, or the error names the field.
func TestNextBatch(t *testing.T) {
	size, square := picture.Size{Width: 64, Height: 64}, picture.Size{Width: 1024, Height: 1024}
	landscape := picture.Size{Width: 1344, Height: 768} // the usual size, which a desk with nothing to match falls back to
	for _, row := range []struct {
		name     string
		base     bool // a model with guidance
		desk     func(*Desk)
		steps    int
		guidance float64
		size     picture.Size
		wrong    inference.Field // "" for none
	}{
		{"as it is", false, func(d *Desk) {}, 0, 0, size, ""},
		{"steps", false, func(d *Desk) { d.Steps = " 9 " }, 9, 0, size, ""},
		{"steps in words", false, func(d *Desk) { d.Steps = "many" }, 0, 0, picture.Size{}, inference.FieldSteps},
		{"too many steps", false, func(d *Desk) { d.Steps = "9999999" }, 0, 0, picture.Size{}, inference.FieldSteps},
		{"guidance with a comma", true, func(d *Desk) { d.Guidance = "3,5" }, 0, 3.5, size, ""},
		{"guidance for a model without", false, func(d *Desk) { d.Guidance = "x" }, 0, 0, size, ""},
		{"guidance in words", true, func(d *Desk) { d.Guidance = "x" }, 0, 0, picture.Size{}, inference.FieldGuidance},
		{"no seed", false, func(d *Desk) { d.Seed = "" }, 0, 0, picture.Size{}, inference.FieldSeed},
		{"a seed that draws one", false, func(d *Desk) { d.Seed = "-1" }, 0, 0, picture.Size{}, inference.FieldSeed},
		{"an aspect ratio", false, func(d *Desk) { d.Aspect = picture.Square }, 0, 0, square, ""},
		{"a size beyond the limits", false, func(d *Desk) { d.Size.Width = 3 }, 0, 0, picture.Size{}, inference.FieldSize},
		{"a match with nothing", false, func(d *Desk) {
			d.Aspect, d.Size = picture.Match, picture.Size{}
		}, 0, 0, landscape, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			engine := &painter{}
			if row.base {
				engine.variant = inference.Base
			}
			r := newRig(t, t.TempDir(), engine)
			r.Desk.Choose(func(d *Desk) {
				*d = Desk{Prompt: "a fox", Size: size, Seed: "7", Count: 3}
				row.desk(d)
			})
			b, err := r.NextBatch()
			var field inference.FieldError
			switch {
			case row.wrong != "":
				if !errors.As(err, &field) || field.Field != row.wrong {
					t.Errorf("%v, want an error about the %s", err, row.wrong)
				}
			case err != nil:
				t.Error(err)
			case b.Steps != row.steps || b.Guidance != row.guidance || b.Size != row.size || b.Seed != 7 || b.Count != 3:
				t.Errorf("%+v", b)
			default:
				if req, err := r.Request(); err != nil || req.Size() != row.size || req.Prompt() != "a fox" {
					t.Errorf("request for %v, %v", req.Size(), err)
				}
			}
		})
	}
}

// TestEstimate: the estimate is known once the model has made a picture, and grows with the number of pictures.
func TestEstimate(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	desk := func(count int) {
		r.Desk.Choose(func(d *Desk) {
			*d = Desk{Prompt: "a fox", Size: picture.Size{Width: 64, Height: 64}, Seed: "7", Count: count}
		})
	}
	desk(1)
	if d := r.Estimate(); d != 0 {
		t.Errorf("%v before there is a picture", d)
	}
	b, err := r.NextBatch()
	if err != nil {
		t.Fatal(err)
	}
	r.Queue.Add(b)
	r.Maker.Next()
	r.until("a picture", func() bool { return len(r.Album.Entries()) == 1 && r.Maker.Run() == nil })
	one := r.Estimate()
	desk(4)
	if four := r.Estimate(); one <= 0 || four != 4*one {
		t.Errorf("%v for one picture, %v for four", one, four)
	}
}
