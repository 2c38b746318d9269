// Package edit does the work with pixels around an edit of a part of a picture: it reads masks, chooses the part of the
// picture that the model works on, cuts it out, and lays the model's picture back into the original at full resolution.
//
// The order of an edit with a mask:
//
//	mask, err := edit.NewMask(img, original.Size)
//	area := edit.NewArea(original.Size, mask.Bounds(), context, native) // or WholeArea
//	cut, err := edit.Cut(ctx, original, area)                           // what the model sees
//	tokens := edit.Tokens(mask, area)                                   // where it changes latents
//	// … the model makes result, of cut's size …
//	edited, err := edit.Stitch(ctx, original, area, cut, result, mask, options)
//
// A pixel whose mask is 0 is never written: it keeps the levels of the file, in the file's own bit depth and colour
// space. The package knows nothing of models, latents and prompts. It computes on all processors, checks its context
// between bands of rows, and starts no goroutine that outlives a call.
package edit
