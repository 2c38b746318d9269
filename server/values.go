package server

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is one field of a request: the text of a form's part, or a JSON value.
type value struct {
	name string // the name that the client used, for messages
	text string // a form's text, a JSON string's value, or any other JSON value as it was written
	kind kind
	// repeated says that a form has the field more than once. That is an error if the field means something to the path.
	repeated bool
}

type kind int

const (
	formText   kind = iota // may stand for a string, a number or a boolean
	jsonString             // this and the following are the kinds of JSON values; null is not a value
	jsonNumber
	jsonBool
	jsonArray
	jsonObject
)

// values are the fields of a request by their names.
type values map[string]value

// given returns the field called name. A field with an empty text is not given, because browsers also send a form's
// empty inputs.
func (v values) given(name string) (value, bool) {
	field, ok := v[name]
	return field, ok && field.text != ""
}

// got returns the value, or the beginning of it, for a message to the client.
func (f value) got() string {
	switch f.kind {
	case jsonNumber, jsonBool:
		return clip(f.text)
	case jsonArray:
		return "an array"
	case jsonObject:
		return "an object"
	}
	return quote(f.text)
}

func (f value) found() string { return "found " + f.got() }

// string returns a field of text, "" if it is not given.
func (v values) string(name string) (string, error) {
	field, ok := v.given(name)
	if ok && field.kind > jsonString {
		return "", invalid(field.name, "%s, want a string", field.found())
	}
	return field.text, nil
}

// choice returns a field that has to be one of words, "" if it is not given.
func (v values) choice(name string, words ...string) (string, error) {
	field, ok := v.given(name)
	if !ok {
		return "", nil
	}
	for _, word := range words {
		if field.kind <= jsonString && field.text == word {
			return word, nil
		}
	}
	return "", invalid(field.name, "%s, want %s", field.found(), strings.Join(words, " or "))
}

// integer returns a field that is a whole number from low to high, or otherwise if it is not given. 360.0 is a whole
// number too.
func (v values) integer(name string, low, high, otherwise int) (int, error) {
	field, ok := v.given(name)
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.Atoi(wholeNumber(field.text))
	if err != nil || n < low || n > high || field.kind != formText && field.kind != jsonNumber {
		return 0, invalid(field.name, "%s, want a whole number from %d to %d", field.found(), low, high)
	}
	return n, nil
}

// boolean returns a field that is true or false, and whether it is given.
func (v values) boolean(name string) (is, given bool, err error) {
	field, ok := v.given(name)
	if !ok {
		return false, false, nil
	}
	known := field.text == "true" || field.text == "false"
	if known && (field.kind == formText || field.kind == jsonBool) {
		return field.text == "true", true, nil
	}
	return false, false, invalid(field.name, "%s, want true or false", field.found())
}

// wholeNumber returns the digits of a number whose fraction is 0: "360" for "360.0" and "3.6e2". It returns any other
// text as it is.
func wholeNumber(text string) string {
	switch {
	case text == "-0":
		return "0"
	case strings.ContainsAny(text, "xX_"):
		return text
	case strings.ContainsAny(text, "eE"):
		const exact = 1 << 53 // a float64 holds every integer up to here
		if x, err := strconv.ParseFloat(text, 64); err == nil && x == math.Trunc(x) && math.Abs(x) <= exact {
			return strconv.FormatInt(int64(x), 10)
		}
		return text
	}
	whole, fraction, ok := strings.Cut(text, ".")
	if ok && whole != "" && fraction != "" && strings.Trim(fraction, "0") == "" {
		return wholeNumber(whole)
	}
	return text
}

// parseJSON reads a JSON object. It leaves out fields that are null, because null means absent.
func parseJSON(text []byte) (values, error) {
	if !utf8.Valid(text) {
		// encoding/json would replace bad bytes by U+FFFD, and the model would draw from that text.
		return nil, errorf(http.StatusBadRequest, "JSON: found bytes that are not UTF-8, want UTF-8 text")
	}
	if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] != '{' && json.Valid(trimmed) {
		return nil, errorf(http.StatusBadRequest, "JSON: found %s, want an object", jsonKindName(trimmed))
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, errorf(http.StatusBadRequest, "JSON: %s", err)
	}
	v := values{}
	for name, raw := range members {
		field := value{name: printable(name)}
		if raw[0] != '"' {
			field.text = string(raw)
		}
		switch raw[0] {
		case 'n':
			continue
		case 't', 'f':
			field.kind = jsonBool
		case '[':
			field.kind = jsonArray
		case '{':
			field.kind = jsonObject
		case '"':
			field.kind = jsonString
			if err := json.Unmarshal(raw, &field.text); err != nil {
				return nil, errorf(http.StatusBadRequest, "JSON: %s", err)
			}
			if halfPair(raw, field.text) {
				return nil, invalid(field.name,
					"found half of a surrogate pair (\\ud800 to \\udfff), want whole characters")
			}
		default:
			field.kind = jsonNumber
		}
		v[name] = field
	}
	return v, nil
}

func jsonKindName(text []byte) string {
	if len(text) == 0 {
		return "nothing"
	}
	switch text[0] {
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

// halfPair says whether encoding/json, when it decoded raw, has put U+FFFD in place of half of a surrogate pair.
func halfPair(raw []byte, decoded string) bool {
	const replacement = "\uFFFD"
	written := bytes.Count(raw, []byte(replacement)) + bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`))
	return strings.Count(decoded, replacement) > written
}

// clip cuts off a text that is too long for a message.
func clip(text string) string {
	const most = 40
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}
