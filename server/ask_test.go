package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/asktest"
)

// TestBadAsks checks that the API gives the engine's error for each value that no face accepts, on each path that has
// the field.
func TestBadAsks(t *testing.T) {
	for _, c := range asktest.Cases() {
		for kind, parse := range map[string]func(asktest.Case) error{
			"/v1/generate": func(c asktest.Case) error {
				_, err := formWith(c, formValues(c)).parse(false)
				return err
			},
			"/v1/images/edits": func(c asktest.Case) error {
				f := formWith(c, formValues(c))
				f.uploads = append(f.uploads, upload{name: "image", number: math.MinInt})
				_, err := f.edits(false)
				return err
			},
			"/v1/images/generations": func(c asktest.Case) error {
				v, err := parseJSON([]byte(jsonOf(c)))
				if err != nil {
					return err
				}
				images, err := v.imagesRequest(imagesFields...)
				if err == nil {
					err = v.check(images.apiRequest)
				}
				return err
			},
		} {
			takesPictures := kind != "/v1/images/generations"
			if c.Aspect != "" && kind != "/v1/generate" || !takesPictures && (c.References > 0 || c.Edit != (asktest.Edit{})) ||
				c.NoReferences && kind == "/v1/images/edits" {
				continue // the path does not have the field, or requires a picture
			}
			c := c
			c.References = c.Pictures()
			if kind == "/v1/images/edits" && c.References > 0 {
				c.References-- // the request has one reference already
			}
			err := parse(c)
			var field inference.FieldError
			var told *apiError
			if !errors.As(err, &field) || field != c.Want || !errors.As(err, &told) || told.status != 422 {
				t.Errorf("%s, %s: %v (%+v), want a 422 of %+v", kind, c.Name, err, field, c.Want)
			}
		}
	}
}

// fieldsOf returns the fields of a case by their names in the API.
func fieldsOf(c asktest.Case) map[string]string {
	fields := map[string]string{fieldPrompt: "a fox"}
	for name, text := range map[string]string{
		fieldPrompt: c.Prompt, fieldAspectRatio: c.Aspect, fieldSize: c.Size, fieldSeed: c.Seed, fieldSteps: c.Steps,
		fieldGuidance: c.Guidance, fieldStrength: c.Strength, fieldExtend: c.Extend, fieldFeather: c.Feather,
		fieldContext: c.Context, fieldArea: c.Area, fieldKeepUnchanged: c.KeepUnchanged,
	} {
		if text != "" {
			fields[name] = text
		}
	}
	return fields
}

func formValues(c asktest.Case) values {
	v := values{}
	for name, text := range fieldsOf(c) {
		v[name] = value{name: name, text: text}
	}
	return v
}

func formWith(c asktest.Case, v values) *form {
	f := &form{values: v}
	if c.Mask != "" {
		f.mask = &source{field: fieldMask}
	}
	for i := range c.References {
		f.uploads = append(f.uploads, upload{name: fmt.Sprintf("image[%d]", i), number: i})
	}
	return f
}

// jsonOf writes numbers as numbers, any other text as a string.
func jsonOf(c asktest.Case) string {
	body := ""
	for name, text := range fieldsOf(c) {
		_, err := strconv.ParseFloat(text, 64)
		if number := err == nil || errors.Is(err, strconv.ErrRange); !number || name == fieldPrompt {
			quoted, err := json.Marshal(text)
			if err != nil {
				panic(err)
			}
			text = string(quoted)
		}
		body += fmt.Sprintf(", %q: %s", name, text)
	}
	return "{" + body[2:] + "}"
}

// TestDocumentedLimits checks that openapi.json has the engine's limits.
func TestDocumentedLimits(t *testing.T) {
	doc, err := apiDocument()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for path, kind := range map[string]string{
		"/v1/generate": "multipart/form-data", "/v1/images/edits": "multipart/form-data",
		"/v1/images/generations": "application/json",
	} {
		schema := doc.Paths.Value(path).Post.RequestBody.Value.Content[kind].Schema.Value
		for name, want := range map[string][2]float64{
			fieldSteps: {1, inference.MaxSteps}, fieldGuidance: {inference.MinGuidance, inference.MaxGuidance},
			fieldFeather: {0, inference.MaxFeather}, fieldContext: {0, inference.MaxContext}, fieldKeepUnchanged: {0, 1},
		} {
			if schema.Properties[name] == nil {
				continue // the path edits no picture
			}
			field := schema.Properties[name].Value
			for _, one := range append(openapi3.SchemaRefs{schema.Properties[name]}, field.AnyOf...) {
				if v := one.Value; v.Min != nil && v.Max != nil {
					found++
					if *v.Min != want[0] || *v.Max != want[1] {
						t.Errorf("%s: %s from %v to %v, want %v", path, name, *v.Min, *v.Max, want)
					}
				}
			}
		}
	}
	if found != 12 {
		t.Errorf("%d limits are documented, want 12", found)
	}
}
