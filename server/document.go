package server

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// openAPIDocument describes the API. The tests check every reply against it.
//
//go:embed openapi.json
var openAPIDocument []byte

// apiDescription is the part of an OpenAPI document that depends on a server's options.
type apiDescription struct {
	OpenAPI    string                    `json:"openapi"`
	Info       map[string]any            `json:"info"`
	Servers    json.RawMessage           `json:"servers"`
	Security   json.RawMessage           `json:"security,omitempty"`
	Paths      map[string]map[string]any `json:"paths"`
	Components map[string]map[string]any `json:"components"`
}

// document returns the OpenAPI document for opts: with the program's version, the names of the models that are served,
// and a token if the server asks for one.
func document(opts Options, models []string) ([]byte, error) {
	var doc apiDescription
	decoder := json.NewDecoder(bytes.NewReader(openAPIDocument))
	decoder.UseNumber() // the largest seed is not exact as a float64
	if err := decoder.Decode(&doc); err != nil {
		return nil, fmt.Errorf("server: openapi.json: %w", err)
	}
	doc.Info["version"] = opts.Version
	if opts.Token == "" {
		doc.removeToken()
	}
	for _, name := range []string{"GenerateForm", "ImagesRequest", "ImagesForm"} {
		if err := doc.setModels(name, models); err != nil {
			return nil, err
		}
	}
	return json.MarshalIndent(doc, "", "  ")
}

// removeToken removes all that the document says about the token.
func (d *apiDescription) removeToken() {
	d.Security = nil
	delete(d.Components, "securitySchemes")
	for _, operations := range d.Paths {
		for _, operation := range operations {
			if operation, ok := operation.(map[string]any); ok {
				delete(operation, "security")
				if responses, ok := operation["responses"].(map[string]any); ok {
					delete(responses, "401")
				}
			}
		}
	}
}

// setModels sets the names that the field model of a schema may have. The first one is the default.
func (d *apiDescription) setModels(schema string, models []string) error {
	form, _ := d.Components["schemas"][schema].(map[string]any)
	properties, _ := form["properties"].(map[string]any)
	model, ok := properties[fieldModel].(map[string]any)
	if !ok {
		return fmt.Errorf("server: openapi.json: schema %s has no model, want one", schema)
	}
	names := []any{""} // the same as no model
	for _, name := range models {
		names = append(names, name)
	}
	if kinds, ok := model["type"].([]any); ok && slices.Contains(kinds, any("null")) {
		names = append(names, nil)
	}
	model["enum"], model["default"] = names, models[0]
	return nil
}

func (s *Server) openAPI(w *reply, r *http.Request) error {
	m, err := s.openModel(r.Context())
	if err != nil {
		m = Model{} // the document can be served before there is a model
	}
	doc, err := document(s.opts, s.modelIDs(m))
	if err != nil {
		return err
	}
	return w.body(http.StatusOK, "application/json", doc)
}
