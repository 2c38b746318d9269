package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// lineField is a field that a line of a list may have. Its value takes the place of a flag's.
type lineField struct {
	names []string        // those of the command line, the API and the metadata; messages list the first
	field inference.Field // "" if the engine does not know it
	group string          // fields of one group replace the flags of all of them
	want  string          // for messages
	// set sets the flag. It returns false if the value is of another kind.
	set func(e *entry, value any) bool
}

const (
	wantText  = "a string"
	wantFlag  = "true or false"
	wantPaths = "the path of a picture, or a list of paths"
)

var lineFields = []lineField{
	{names: []string{"prompt"}, field: inference.FieldPrompt, want: wantText, set: func(e *entry, v any) bool {
		text, ok := v.(string)
		e.setPrompt(text)
		return ok
	}},
	{names: []string{"references", "images", "image"}, field: inference.FieldReferences, want: wantPaths,
		set: func(e *entry, v any) (ok bool) {
			e.Image, ok = texts(v)
			return ok
		}},
	{names: []string{"aspect", "aspect_ratio"}, field: inference.FieldAspect, group: "size", want: wantText,
		set: text(func(e *entry) *string { return &e.Aspect })},
	{names: []string{"size"}, field: inference.FieldSize, group: "size", want: "WIDTHxHEIGHT",
		set: func(e *entry, v any) bool {
			text, ok := v.(string)
			if e.Size = text; text == string(picture.Match) { // as in the API
				e.Aspect, e.Size = text, ""
			}
			return ok && text != ""
		}},
	{names: []string{"width"}, group: "size", want: "a number", set: side(0)},
	{names: []string{"height"}, group: "size", want: "a number", set: side(1)},
	{names: []string{"seed"}, field: inference.FieldSeed, set: number(func(e *entry) *numberFlag { return &e.Seed })},
	{names: []string{"count", "n"}, want: "a number", set: func(e *entry, v any) bool {
		text, ok := numberText(v)
		n, err := strconv.Atoi(text)
		e.Count = n
		return ok && err == nil
	}},
	{names: []string{"steps"}, field: inference.FieldSteps, set: number(func(e *entry) *numberFlag { return &e.Steps })},
	{names: []string{"guidance"}, field: inference.FieldGuidance,
		set: number(func(e *entry) *numberFlag { return &e.Guidance })},
	{names: []string{"loras", "lora"}, field: inference.FieldLoRAs,
		want: "a list of names, or of objects with name and strength", set: func(e *entry, v any) (ok bool) {
			e.LoRA, ok = loraTexts(v)
			return ok
		}},
	{names: []string{"mask"}, field: inference.FieldMask, group: "painted", want: wantText,
		set: text(func(e *entry) *string { return &e.Mask })},
	{names: []string{"extend"}, field: inference.FieldExtend, group: "painted",
		set: numbers(func(e *entry) *numberFlag { return &e.Extend })},
	{names: []string{"remove"}, want: wantFlag, set: flag(func(e *entry) *bool { return &e.Remove })},
	{names: []string{"strength"}, field: inference.FieldStrength,
		set: number(func(e *entry) *numberFlag { return &e.Strength })},
	{names: []string{"feather"}, field: inference.FieldFeather,
		set: number(func(e *entry) *numberFlag { return &e.Feather })},
	{names: []string{"context"}, field: inference.FieldContext, group: "area",
		set: number(func(e *entry) *numberFlag { return &e.Context })},
	{names: []string{"area"}, field: inference.FieldArea, group: "area",
		set: numbers(func(e *entry) *numberFlag { return &e.Area })},
	{names: []string{"whole"}, group: "area", want: wantFlag, set: flag(func(e *entry) *bool { return &e.Whole })},
	{names: []string{"match_colours"}, field: inference.FieldMatchColours, set: func(e *entry, v any) bool {
		if on, ok := v.(bool); ok {
			v = map[bool]string{true: "on", false: "off"}[on]
		}
		return text(func(e *entry) *string { return &e.MatchColours })(e, v)
	}},
	{names: []string{"source"}, field: inference.FieldHidden, set: text(func(e *entry) *string { return &e.Source })},
	{names: []string{"keep_unchanged"}, field: inference.FieldKeepUnchanged,
		set: number(func(e *entry) *numberFlag { return &e.KeepUnchanged })},
	{names: []string{"output"}, want: "the name of a file", set: func(e *entry, v any) bool {
		return text(func(e *entry) *string { return &e.Output })(e, v) && e.Output != standardOutput
	}},
}

// groups clear the flags of a group of fields.
var groups = map[string]func(e *entry){
	"size":    func(e *entry) { e.Aspect, e.Size = "", "" },
	"painted": func(e *entry) { e.Mask, e.Extend = "", "" },
	"area":    func(e *entry) { e.Context, e.Area, e.Whole = "", "", false },
}

// take puts the members of a line in the place of flags.
func (e *entry) take(members []member) error {
	var given []lineField
	for i, m := range members {
		at := slices.IndexFunc(lineFields, func(f lineField) bool { return slices.Contains(f.names, m.name) })
		if at < 0 {
			return fmt.Errorf("unknown field %.40q, want one of %s", m.name, lineFieldNames())
		}
		for j, other := range given {
			if other.names[0] == lineFields[at].names[0] {
				return fmt.Errorf("found %s together with %s, which means the same", members[i].name, members[j].name)
			}
		}
		given = append(given, lineFields[at])
	}
	for _, f := range given {
		if clear := groups[f.group]; clear != nil {
			clear(e)
		}
	}
	for i, f := range given {
		if f.field != "" {
			e.fields[f.field] = members[i].name
		}
		want := f.want
		if want == "" {
			want = f.field.Want()
		}
		if !f.set(e, members[i].value) {
			return fmt.Errorf("%s: found %s, want %s", members[i].name, shown(members[i].value), want)
		}
	}
	if (e.sides[0] == "") != (e.sides[1] == "") {
		return fmt.Errorf("found one of width and height, want both, or size")
	}
	if e.sides[0] != "" {
		if e.Size != "" || e.Aspect != "" {
			return fmt.Errorf("found width and height beside another size, want one of both")
		}
		e.Size = e.sides[0] + "x" + e.sides[1]
		e.fields[inference.FieldSize] = "width and height"
	}
	return nil
}

// lineFieldNames lists the names of the fields.
func lineFieldNames() string {
	var names []string
	for _, f := range lineFields {
		names = append(names, f.names[0])
	}
	return strings.Join(names, ", ")
}

// shown returns a value for a message.
func shown(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "a value"
	}
	const most = 40
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return string(text)
}

// text sets a flag with a text that is not empty.
func text(at func(*entry) *string) func(*entry, any) bool {
	return func(e *entry, v any) bool {
		text, ok := v.(string)
		*at(e) = text
		return ok && text != ""
	}
}

// flag sets a flag without a value.
func flag(at func(*entry) *bool) func(*entry, any) bool {
	return func(e *entry, v any) (ok bool) {
		*at(e), ok = v.(bool)
		return ok
	}
}

// number sets a flag with the text of a number, which the engine reads.
func number(at func(*entry) *numberFlag) func(*entry, any) bool {
	return func(e *entry, v any) bool {
		text, ok := numberText(v)
		*at(e) = numberFlag(text)
		return ok
	}
}

// numbers sets a flag with several numbers: a list, as in metadata, or a text, as on the command line.
func numbers(at func(*entry) *numberFlag) func(*entry, any) bool {
	return func(e *entry, v any) bool {
		list, ok := v.([]any)
		if !ok {
			text, ok := v.(string)
			*at(e) = numberFlag(text)
			return ok && text != ""
		}
		var parts []string
		for _, v := range list {
			text, ok := numberText(v)
			if !ok {
				return false
			}
			parts = append(parts, text)
		}
		*at(e) = numberFlag(strings.Join(parts, ","))
		return len(parts) > 0
	}
}

// side sets one side of the size.
func side(i int) func(*entry, any) bool {
	return func(e *entry, v any) (ok bool) {
		e.sides[i], ok = numberText(v)
		return ok
	}
}

// numberText returns the text of a number, which may be a string as on the command line.
func numberText(v any) (string, bool) {
	switch v := v.(type) {
	case json.Number:
		return v.String(), true
	case string:
		return v, v != ""
	}
	return "", false
}

// texts returns a list of texts that are not empty; one text is a list of one.
func texts(v any) (list []string, ok bool) {
	if text, ok := v.(string); ok {
		return []string{text}, text != ""
	}
	values, ok := v.([]any)
	list = []string{}
	for _, v := range values {
		text, isText := v.(string)
		list = append(list, text)
		ok = ok && isText && text != ""
	}
	return list, ok
}

// loraTexts returns adapters as --lora takes them: FILE[:STRENGTH].
func loraTexts(v any) (list []string, ok bool) {
	if text, ok := v.(string); ok {
		return []string{text}, text != ""
	}
	values, ok := v.([]any)
	list = []string{}
	for _, v := range values {
		switch v := v.(type) {
		case string:
			list = append(list, v)
			ok = ok && v != ""
		case map[string]any:
			name, isText := v["name"].(string)
			strength, isNumber := "1", true
			if s, given := v["strength"]; given {
				strength, isNumber = numberText(s)
			}
			for key := range v {
				ok = ok && (key == "name" || key == "strength")
			}
			list = append(list, name+":"+strength)
			ok = ok && isText && name != "" && isNumber
		default:
			return nil, false
		}
	}
	return list, ok
}
