package app

import (
	"errors"
	"strings"
	"testing"

	"kleinbild/app/studio"
	"kleinbild/inference"
	"kleinbild/inference/asktest"
)

// TestBadAsks enters each value that no face may take, and wants the engine's error for it. Some cannot be entered
// here: an aspect ratio is a tile, and there are four slots.
func TestBadAsks(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.Variant = inference.Base // which has guidance
	b.engineChanged()
	tried := 0
	for _, c := range asktest.Cases() {
		size, err := inference.ParseSize(c.Size)
		if c.Aspect != "" || c.References > 0 || c.Size != "" && err != nil {
			continue
		}
		tried++
		b.Desk.Choose(func(d *studio.Desk) {
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
	if tried < 15 {
		t.Errorf("%d values were entered, want most of them", tried)
	}
}
