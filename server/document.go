package server

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
)

// openAPIDocument describes the API; the tests hold every reply against it.
//
//go:embed openapi.json
var openAPIDocument []byte

// document returns the document for these options: only the program's version depends on them.
func document(opts Options) ([]byte, error) {
	var doc struct {
		OpenAPI    string          `json:"openapi"`
		Info       map[string]any  `json:"info"`
		Servers    json.RawMessage `json:"servers"`
		Security   json.RawMessage `json:"security"`
		Paths      json.RawMessage `json:"paths"`
		Components json.RawMessage `json:"components"`
	}
	if err := json.Unmarshal(openAPIDocument, &doc); err != nil {
		return nil, fmt.Errorf("server: openapi.json: %w", err)
	}
	doc.Info["version"] = opts.Version
	return json.MarshalIndent(doc, "", "  ")
}

func (s *Server) openAPI(w *reply, _ *http.Request) error {
	return w.body(http.StatusOK, "application/json", s.doc)
}
