package inference

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Field is a part of an Ask, in the engine's own words. Each face has its own name for it: a flag, a member of a JSON
// object, a label.
type Field string

const (
	FieldPrompt     Field = "prompt"
	FieldReferences Field = "references"
	FieldAspect     Field = "aspect ratio"
	FieldSize       Field = "size"
	FieldSeed       Field = "seed"
	FieldSteps      Field = "steps"
	FieldGuidance   Field = "guidance"
	FieldNoise      Field = "noise"
	// The fields of an Edit.
	FieldMask          Field = "mask"
	FieldExtend        Field = "extension"
	FieldStrength      Field = "strength"
	FieldFeather       Field = "feather"
	FieldContext       Field = "context"
	FieldArea          Field = "area"
	FieldMatchColours  Field = "match colours"
	FieldHidden        Field = "use of image 1"
	FieldKeepUnchanged Field = "keep unchanged"
	FieldLoRAs         Field = "LoRAs"
)

// The limits of a request.
const (
	// MaxReferences is the number of reference pictures that the model was trained for.
	MaxReferences = 4
	// MaxSteps is much larger than any number of steps that still changes a picture.
	MaxSteps = 1000
	// A guidance from MinGuidance to NoGuidance means none. The reference guides only if its guidance_scale is above 1.
	MinGuidance, NoGuidance = 0, 1
	// MaxGuidance is far above any guidance that gives usable pictures.
	MaxGuidance = 100
	// MaxFeather and MaxContext are pixels of image 1. The side of a picture of the largest area is about 10,000.
	MaxFeather = 1000
	MaxContext = 10000
	// MaxExtension is the most pixels that are added on one side. The largest picture bounds the sum.
	MaxExtension = 8192
)

// FieldError says that the value of a field cannot be used. Two FieldErrors can be compared with ==. A face finds one
// with errors.As and tells it in its own words.
type FieldError struct {
	Field Field
	// Got is what was found: a number as it was written, any other text in quotes.
	Got string
	// Want is what the field takes.
	Want string
}

// Error names the field, what was found and what is wanted.
func (e FieldError) Error() string {
	return fmt.Sprintf("%s: found %s, want %s", e.Field, e.Got, e.Want)
}

// Want says what f takes, for people.
func (f Field) Want() string {
	switch f {
	case FieldPrompt:
		return fmt.Sprintf("UTF-8 text of at most %d bytes", MaxPromptBytes)
	case FieldReferences:
		return fmt.Sprintf("at most %d", MaxReferences)
	case FieldAspect:
		return "one of " + aspectNames()
	case FieldSize:
		return "WIDTHxHEIGHT, each side " + picture.OutputSides()
	case FieldSeed:
		return fmt.Sprintf("a whole number from 0 to %d, or -1 for a random one", uint64(math.MaxUint64))
	case FieldSteps:
		return fmt.Sprintf("a whole number from 1 to %d", MaxSteps)
	case FieldGuidance:
		return fmt.Sprintf("a number from %d to %d", MinGuidance, MaxGuidance)
	case FieldNoise:
		return "finite numbers"
	case FieldMask:
		return "a picture that is white where image 1 changes and black where it stays"
	case FieldExtend:
		return fmt.Sprintf("LEFT,TOP,RIGHT,BOTTOM in pixels, each from 0 to %d and one above 0, or a shape such as 16:9",
			MaxExtension)
	case FieldStrength:
		return "a number above 0 and at most 1"
	case FieldFeather:
		return fmt.Sprintf("a whole number of pixels from 0 to %d", MaxFeather)
	case FieldContext:
		return fmt.Sprintf("a whole number of pixels from 0 to %d", MaxContext)
	case FieldArea:
		return "X,Y,WIDTH,HEIGHT in pixels, inside of image 1 and around the mask"
	case FieldMatchColours:
		return "on or off"
	case FieldHidden:
		return "reference or hidden"
	case FieldKeepUnchanged:
		return "a number from 0 to 1"
	case FieldLoRAs:
		return fmt.Sprintf("at most %d files, each with a strength from -%d to %d",
			MaxLoRAs, MaxLoRAStrength, MaxLoRAStrength)
	}
	return "nothing"
}

func aspectNames() string {
	var names []string
	for _, a := range picture.AspectRatios() {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}

// Unreadable returns the error for a text that a face cannot read as a value of field.
func Unreadable(field Field, text string) FieldError {
	return FieldError{field, found(text), field.Want()}
}

// foundBytes is how many bytes of a value an error repeats.
const foundBytes = 40

// found returns a text for FieldError.Got: a number as it is, any other text in quotes. It cuts off a long text.
func found(text string) string {
	short := text
	if len(text) > foundBytes {
		short = strings.ToValidUTF8(text[:foundBytes], "") + "…"
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil || isOutOfRange(err) {
		return short
	}
	return strconv.Quote(short)
}

// isOutOfRange says whether err is the error for a number that is too large for a float64.
func isOutOfRange(err error) bool {
	number, ok := err.(*strconv.NumError)
	return ok && number.Err == strconv.ErrRange
}

// ParseSize reads WIDTHxHEIGHT. It does not compare the sides with their limits; Ask.Check does.
func ParseSize(text string) (*picture.Size, error) {
	size, err := picture.ParseSize(text)
	if err != nil && size == (picture.Size{}) {
		return nil, Unreadable(FieldSize, text)
	}
	return &size, nil
}

// ParseSteps reads a whole number. It does not compare it with its limits; Ask.Check does.
func ParseSteps(text string) (*int, error) { return parseWhole(FieldSteps, text) }

// ParseGuidance reads a number. It does not compare it with its limits; Ask.Check does.
func ParseGuidance(text string) (*float64, error) { return parseNumber(FieldGuidance, text) }

func parseWhole(field Field, text string) (*int, error) {
	v, err := strconv.Atoi(text)
	if err != nil {
		return nil, Unreadable(field, text)
	}
	return &v, nil
}

func parseNumber(field Field, text string) (*float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, Unreadable(field, text)
	}
	return &v, nil
}
