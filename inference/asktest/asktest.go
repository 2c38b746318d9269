// Package asktest holds values that no face may accept, each with the engine's error that every face must give for it.
// The tests of each face read them in the face's own syntax.
package asktest

import (
	"strings"

	"kleinbild/inference"
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
	Want       inference.FieldError
}

// Cases returns the bad values.
func Cases() []Case {
	const (
		steps    = "a whole number from 1 to 1000"
		guidance = "a number from 0 to 100"
		seed     = "a whole number from 0 to 18446744073709551615, or -1 for a random one"
		aspects  = "one of square, landscape, portrait, photo, photo_v, standard, standard_v, wide, match"
		side     = "each side a multiple of 16 from 64 to 2048"
	)
	bad := func(field inference.Field, got, want string) inference.FieldError {
		return inference.FieldError{Field: field, Got: got, Want: want}
	}
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
	}
}
