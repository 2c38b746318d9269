package inference

import (
	"github.com/kleinbild/kleinbild/inference/edit"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// SameShape says whether a mask of one size has the shape of a picture of another, apart from rounding.
func SameShape(mask, of picture.Size) bool { return edit.SameShape(mask, of) }

// ErrNothingToChange is wrapped by the error of a MaskSource for a mask that is black everywhere. Checked.Read returns
// a FieldError for it.
var ErrNothingToChange = edit.ErrNothingToChange

// RemovePrompt is the prompt of an edit that removes what its mask marks. It names nothing of the picture: what is
// under the mask is not known, and the rest of the picture shows what belongs there.
const RemovePrompt = "Remove the object, and continue the background behind it. Keep everything else as it is."
