// Package asktest holds values that no face may accept, each with the engine's error that every face must give for it.
// The tests of each face read them in the face's own syntax.
package asktest

import (
	"strings"

	"github.com/kleinbild/kleinbild/inference"
)

// Case is one bad value as a person types it. Fields that are "" are left out.
type Case struct {
	Name       string
	Prompt     string
	Aspect     string
	Size       string
	Seed       string
	Steps      string
	Guidance   string
	References int // how many there are, of any content
	// Edit has the fields of an edit of image 1. If one of them is not "", and References is 0, there is one reference.
	Edit
	Want inference.FieldError
}

// Edit has the fields of an edit as a person types them. Fields that are "" are left out.
type Edit struct {
	Mask          string // the name of any file; it is not opened
	Strength      string
	Extend        string
	Feather       string
	Context       string
	Area          string
	KeepUnchanged string
	NoReferences  bool // there is no image 1
}

// Cases returns the bad values.
func Cases() []Case {
	const (
		steps    = "a whole number from 1 to 1000"
		guidance = "a number from 0 to 100"
		seed     = "a whole number from 0 to 18446744073709551615, or -1 for a random one"
		aspects  = "one of square, landscape, portrait, photo, photo_v, standard, standard_v, wide, match"
		side     = "each side a multiple of 16 from 64 to 2048"

		strength  = "a number above 0 and at most 1"
		extension = "LEFT,TOP,RIGHT,BOTTOM in pixels, each from 0 to 8192 and one above 0, " +
			"or a shape such as 16:9"
		pixels = "a whole number of pixels from 0 to "
		area   = "X,Y,WIDTH,HEIGHT in pixels, inside of image 1 and around the mask"
	)
	bad := func(field inference.Field, got, want string) inference.FieldError {
		return inference.FieldError{Field: field, Got: got, Want: want}
	}
	noImage := bad(inference.FieldReferences, "none", "at least one to edit")
	return []Case{
		{Name: "prompt with a NUL", Prompt: "a\x00b", Want: bad(inference.FieldPrompt, "a NUL at byte 1", "UTF-8 text")},
		{Name: "prompt too long", Prompt: strings.Repeat("x", 65537),
			Want: bad(inference.FieldPrompt, "65537 bytes", "at most 65536")},
		{Name: "steps 0", Steps: "0", Want: bad(inference.FieldSteps, "0", steps)},
		{Name: "steps negative", Steps: "-1", Want: bad(inference.FieldSteps, "-1", steps)},
		{Name: "steps 1001", Steps: "1001", Want: bad(inference.FieldSteps, "1001", steps)},
		{Name: "steps a fraction", Steps: "4.5", Want: bad(inference.FieldSteps, "4.5", steps)},
		{Name: "steps a word", Steps: "many", Want: bad(inference.FieldSteps, `"many"`, steps)},
		{Name: "steps huge", Steps: "1e400", Want: bad(inference.FieldSteps, "1e400", steps)},
		{Name: "guidance negative", Guidance: "-0.5", Want: bad(inference.FieldGuidance, "-0.5", guidance)},
		{Name: "guidance 100.5", Guidance: "100.5", Want: bad(inference.FieldGuidance, "100.5", guidance)},
		{Name: "guidance a word", Guidance: "much", Want: bad(inference.FieldGuidance, `"much"`, guidance)},
		{Name: "seed negative", Seed: "-2", Want: bad(inference.FieldSeed, "-2", seed)},
		{Name: "seed of 65 bits", Seed: "18446744073709551616", Want: bad(inference.FieldSeed, "18446744073709551616", seed)},
		{Name: "seed a fraction", Seed: "1.5", Want: bad(inference.FieldSeed, "1.5", seed)},
		{Name: "aspect unknown", Aspect: "sqare", Want: bad(inference.FieldAspect, `"sqare"`, aspects)},
		{Name: "size too small", Size: "48x64", Want: bad(inference.FieldSize, "48x64", side+"; the nearest size is 64x64")},
		{Name: "size too large", Size: "2064x64", Want: bad(inference.FieldSize, "2064x64",
			side+"; the nearest size is 2048x64")},
		{Name: "size odd", Size: "64x72", Want: bad(inference.FieldSize, "64x72", side+"; the nearest size is 64x80")},
		{Name: "size a word", Size: "big", Want: bad(inference.FieldSize, `"big"`, "WIDTHxHEIGHT, "+side)},
		{Name: "five references", References: 5, Want: bad(inference.FieldReferences, "5 reference pictures", "at most 4")},

		{Name: "mask with five references", References: 5, Edit: Edit{Mask: "mask.png"},
			Want: bad(inference.FieldReferences, "5 reference pictures", "at most 4")},
		{Name: "mask without image 1", Edit: Edit{Mask: "mask.png", NoReferences: true}, Want: noImage},
		{Name: "strength without image 1", Edit: Edit{Strength: "0.5", NoReferences: true}, Want: noImage},
		{Name: "strength 0", Edit: Edit{Strength: "0"}, Want: bad(inference.FieldStrength, "0", strength)},
		{Name: "strength NaN", Edit: Edit{Strength: "NaN"}, Want: bad(inference.FieldStrength, "NaN", strength)},
		{Name: "strength negative", Edit: Edit{Strength: "-1"}, Want: bad(inference.FieldStrength, "-1", strength)},
		{Name: "strength 1.1", Edit: Edit{Strength: "1.1"}, Want: bad(inference.FieldStrength, "1.1", strength)},
		{Name: "strength a word", Edit: Edit{Strength: "much"}, Want: bad(inference.FieldStrength, `"much"`, strength)},
		{Name: "extension negative", Edit: Edit{Extend: "-1,0,0,0"},
			Want: bad(inference.FieldExtend, "-1,0,0,0", extension)},
		{Name: "extension too large", Edit: Edit{Extend: "0,8193,0,0"},
			Want: bad(inference.FieldExtend, "0,8193,0,0", extension)},
		{Name: "extension a word", Edit: Edit{Extend: "more,0,0,0"},
			Want: bad(inference.FieldExtend, `"more,0,0,0"`, extension)},
		{Name: "extension and mask", Edit: Edit{Extend: "1,0,0,0", Mask: "mask.png"},
			Want: bad(inference.FieldExtend, "a mask as well", "one of both")},
		{Name: "feather negative", Edit: Edit{Feather: "-1", Mask: "mask.png"},
			Want: bad(inference.FieldFeather, "-1", pixels+"1000")},
		{Name: "feather too large", Edit: Edit{Feather: "1001", Mask: "mask.png"},
			Want: bad(inference.FieldFeather, "1001", pixels+"1000")},
		{Name: "context a fraction", Edit: Edit{Context: "1.5", Mask: "mask.png"},
			Want: bad(inference.FieldContext, "1.5", pixels+"10000")},
		{Name: "context too large", Edit: Edit{Context: "10001", Mask: "mask.png"},
			Want: bad(inference.FieldContext, "10001", pixels+"10000")},
		{Name: "area negative", Edit: Edit{Area: "-1,0,9,9", Mask: "mask.png"},
			Want: bad(inference.FieldArea, "-1,0,9,9", area)},
		{Name: "area of nothing", Edit: Edit{Area: "0,0,9,0", Mask: "mask.png"},
			Want: bad(inference.FieldArea, "0,0,9,0", area)},
		{Name: "area of three numbers", Edit: Edit{Area: "0,0,9", Mask: "mask.png"},
			Want: bad(inference.FieldArea, `"0,0,9"`, area)},
		{Name: "area of huge numbers", Edit: Edit{Area: "0,0,9,1e300", Mask: "mask.png"},
			Want: bad(inference.FieldArea, `"0,0,9,1e300"`, area)},
		{Name: "area without a mask", Edit: Edit{Area: "0,0,9,9"},
			Want: bad(inference.FieldArea, "0,0,9,9 without a mask", "a mask")},
		{Name: "area and context", Edit: Edit{Area: "0,0,9,9", Mask: "mask.png", Context: "4"},
			Want: bad(inference.FieldArea, "a context as well", "one of both")},
		{Name: "keep unchanged 1.5", Edit: Edit{KeepUnchanged: "1.5"},
			Want: bad(inference.FieldKeepUnchanged, "1.5", "a number from 0 to 1")},
		{Name: "keep unchanged with a mask", Edit: Edit{KeepUnchanged: "0.5", Mask: "mask.png"},
			Want: bad(inference.FieldKeepUnchanged, "0.5 with a mask, or an extension",
				"none of both: they keep all that lies outside")},
	}
}

// Pictures returns how many reference pictures the request of c has.
func (c Case) Pictures() int {
	edit := c.Edit
	edit.NoReferences = false
	if c.References == 0 && edit != (Edit{}) && !c.NoReferences {
		return 1
	}
	return c.References
}
