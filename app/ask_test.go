package app

import (
	"errors"
	"image"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/asktest"
)

// TestBadAsks enters each value that no face may take, and wants the engine's error for it. Some cannot be entered
// here: an aspect ratio is a tile, and there are four slots.
func TestBadAsks(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.Variant = inference.Base // which has guidance
	b.engineChanged()
	b.slots.add(0, []string{b.file("one.png", 80, 64, 1)})
	b.until("image 1", func() bool { return len(b.Desk.Desk().References()) == 1 })
	image1 := b.Desk.Desk().Slots[0]
	tried := 0
	for _, c := range asktest.Cases() {
		size, err := inference.ParseSize(c.Size)
		if c.Aspect != "" || c.References > 0 || c.NoReferences || c.Size != "" && err != nil {
			continue
		}
		edit, ok := editOf(c.Edit)
		if !ok {
			continue
		}
		tried++
		b.Desk.Choose(func(d *studio.Desk) {
			d.Slots, d.Edit = nil, edit
			if c.Pictures() > 0 {
				d.Slots = []studio.Slot{image1}
				d.Edit.Mask.Of = image1
			}
			d.Prompt, d.Aspect, d.Seed, d.Steps, d.Guidance = "a fox", b.set.Aspect(), firstSeed, c.Steps, c.Guidance
			if c.Prompt != "" {
				d.Prompt = c.Prompt
			}
			if c.Size != "" {
				d.Aspect, d.Size = "", *size
			}
			if c.Seed != "" {
				d.Seed = c.Seed
			}
		})
		_, err = b.NextBatch()
		var field inference.FieldError
		if !errors.As(err, &field) || field != c.Want || !strings.Contains(explain(err), c.Want.Got) {
			t.Errorf("%s: %v, want %+v", c.Name, err, c.Want)
		}
	}
	if tried < 30 {
		t.Errorf("%d values were entered, want most of them", tried)
	}
}

// editOf returns what the fields of an edit are on a desk. ok is false if they cannot be entered: what keeps unchanged
// is a slider, and without a mask only, and an area is a frame, and without other values only.
func editOf(e asktest.Edit) (edit studio.Edit, ok bool) {
	edit = studio.Edit{Strength: e.Strength, Feather: e.Feather, Context: e.Context}
	if e.Mask != "" {
		edit.Mask = studio.Mask{Path: e.Mask, Look: image.NewGray(image.Rect(0, 0, 1, 1))}
	}
	if e.Extend != "" {
		margins := strings.Split(e.Extend, ",")
		edit.Left, edit.Top, edit.Right, edit.Bottom = margins[0], margins[1], margins[2], margins[3]
	}
	return edit, e.KeepUnchanged == "" && e.Area == ""
}
