package server

import (
	"net/http"
	"slices"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server/api"
)

// engine is GET /v1/engine: what another Kleinbild has to know to use this one like an engine of its own.
func (s *Server) engine(w *reply, r *http.Request) error {
	m, err := s.openModel(r.Context())
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, api.Engine{
		Program: api.Program, Version: s.opts.Version, Protocol: api.Protocol,
		Features: []api.Feature{api.Previews, api.References, api.Edits, api.Areas, api.LoRAs},
		Model:    api.ModelOf(m.Engine.Info()),
	})
}

// tokens is POST /v1/tokens: how many tokens a prompt takes.
func (s *Server) tokens(w *reply, r *http.Request) error {
	ctx, leave := s.whileOpen(r.Context())
	defer leave()
	prompt := ""
	held, err := s.withBody(ctx, w, r, jsonWeight, func(r *http.Request) error {
		v, err := readJSON(r)
		if err != nil {
			return err
		}
		if names := v.names(); !slices.Equal(names, []string{fieldPrompt}) {
			return invalid(fieldPrompt, "want it, and no other field")
		}
		if prompt, err = v.string(fieldPrompt); err != nil {
			return err
		}
		if prompt, err = inference.ParsePrompt(prompt); err != nil {
			return v.fieldError(err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	defer held.end()
	m, err := s.openModel(ctx)
	if err != nil {
		return err
	}
	count, limit, err := m.Engine.CountTokens(prompt)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, api.Tokens{Count: count, Limit: limit})
}
