package inference

import (
	"image"

	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Editing is an Edit with all that follows from image 1 and from the model.
type Editing struct {
	// Area is the part of image 1 that the model works on, in pixels of image 1 with its extension, whose size is Picture.
	// The result has that size. Area is empty, and Picture zero, if nothing is laid into image 1.
	Area    image.Rectangle
	Picture picture.Size
	// Work is the size at which the model works, and Scale how many of its pixels it has for a pixel of image 1 along
	// each side.
	Work  picture.Size
	Scale float64
	// Margins are the pixels that are added to image 1.
	Margins Margins
	// Strength is the part of the schedule that is run. Start is the index of the first step that is run.
	Strength float64
	Start    int
	// Feather is the width of the soft edge inside of the mask, in pixels of image 1; 0 without a mask.
	Feather int
	// Context is how many pixels around the mask were asked for, or -1 if that was left to the engine.
	Context int
	// AskedArea is the area that was asked for, empty if that was left to the engine. Area contains it.
	AskedArea     image.Rectangle
	Whole         bool
	MatchColours  bool
	Hidden        bool
	KeepUnchanged float64
}

// Edited tells what an edit did.
type Edited struct {
	Editing
	// Changed is the share of the picture's pixels that were made anew, at least partly, from 0 to 1. All others are those
	// of image 1.
	Changed float64
}

// startIndex returns the index of the first step that is run of steps, as Flux2KleinInpaintPipeline computes it, in
// float64: a strength below 1/steps still leaves one step.
func startIndex(steps int, strength float64) int {
	n := float64(steps)
	// The conversion keeps a processor from fusing the product with the difference.
	return int(max(n-min(float64(n*strength), n), 0))
}

// finish makes the result of an edit from the picture that the model has made. Without an edit it does nothing.
func (r *run) finish(req Request, result *Result) error {
	if req.editing == nil {
		return nil
	}
	r.track.begin(StageStitch, stitchWork(req.PictureSize()))
	defer r.track.end()
	edited := &Edited{Editing: *req.editing, Changed: 1}
	result.Edited = edited
	made, seen := r.made, r.content.references[0].Image // image 1 as the model saw it
	switch {
	case req.mask != nil:
		options := edit.Options{Feather: edited.Feather, MatchColours: edited.MatchColours}
		stitched, err := edit.Stitch(r.ctx, req.original, req.area, seen, made, req.mask, options)
		if err != nil {
			return err
		}
		result.Image = stitched
		edited.Changed, err = req.mask.Share(r.ctx, edited.Area)
		return err
	case edited.MatchColours:
		matched, err := edit.MatchTo(r.ctx, made, seen)
		if err != nil {
			return err
		}
		made, result.Image = matched, matched
	}
	if req.original == nil {
		return nil
	}
	kept, changed, err := edit.KeepUnchanged(r.ctx, req.original, req.area, made, edited.KeepUnchanged)
	if err != nil {
		return err
	}
	result.Image, edited.Changed = kept, changed
	return nil
}
