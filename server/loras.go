package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server/api"
)

// pathLoRAs lists the adapters that requests may name.
const pathLoRAs = api.PathLoRAs

// headerLoRAs says of each adapter how many of its layers were applied.
const headerLoRAs = "X-LoRAs"

// adapting is an engine that takes adapters.
type adapting interface {
	LoRA(context.Context, inference.LoRA) (inference.LoRAInfo, error)
}

// listLoRAs is GET /v1/loras: all adapters by name, or, with a name, a description of that one.
func (s *Server) listLoRAs(w *reply, r *http.Request) error {
	names, err := inference.ListLoRAs(r.Context())
	if err != nil {
		return err
	}
	list := api.LoRAList{Object: "list", Data: []api.LoRA{}}
	if query := r.URL.Query(); query.Has(api.ParameterName) {
		name := query.Get(api.ParameterName)
		l, ok := names.Find(name)
		if !ok {
			return invalid(api.ParameterName, "%s is not here; GET %s lists the names", quote(printable(name)), pathLoRAs)
		}
		fit, err := s.fitOf(r.Context(), l)
		if err != nil {
			return err
		}
		list.Data = append(list.Data, api.LoRA{Name: l.Name, Fit: fit})
		return w.json(http.StatusOK, list)
	}
	for _, n := range names {
		list.Data = append(list.Data, api.LoRA{Name: n.Name})
	}
	return w.json(http.StatusOK, list)
}

// fitOf describes an adapter and how it fits the model. One that does not fit is no error.
func (s *Server) fitOf(ctx context.Context, l inference.LoRA) (*api.LoRAFit, error) {
	ctx, leave := s.whileOpen(ctx)
	defer leave()
	m, err := s.openModel(ctx)
	if err != nil {
		return nil, err
	}
	e, ok := m.Engine.(adapting)
	if !ok {
		return &api.LoRAFit{Triggers: []string{}, Problem: "this model takes no LoRAs"}, nil
	}
	info, err := e.LoRA(ctx, l)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	fit := api.LoRAFitOf(info)
	if err != nil {
		fit.Problem = loraProblem(l, err)
	}
	return fit, nil
}

// loraProblem says what is wrong with an adapter. Clients learn no paths: of a file beside it they learn the name.
func loraProblem(l inference.LoRA, err error) string {
	folder := filepath.Dir(l.Path) + string(filepath.Separator)
	return printable(strings.NewReplacer(l.Path, l.Name, folder, "").Replace(err.Error()))
}

// loras reads the field of that name: a JSON array of objects with a name and, unless it is 1, a strength.
func (v values) loras() (list []api.LoRAAsked, err error) {
	field, ok := v.given(fieldLoRAs)
	if !ok {
		return nil, nil
	}
	const want = `want a JSON array of {"name": NAME, "strength": NUMBER}`
	decoder := json.NewDecoder(bytes.NewReader([]byte(field.text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil || decoder.More() {
		return nil, invalid(field.name, "found %s, %s", quote(field.text), want)
	}
	if len(list) > inference.MaxLoRAs {
		return nil, invalid(field.name, "found %d, want at most %d", len(list), inference.MaxLoRAs)
	}
	for i, item := range list {
		if item.Name == "" {
			return nil, invalid(field.name, "found no name in item %d, %s", i+1, want)
		}
	}
	return list, nil
}

// findLoRAs finds the files of the adapters that the field loras and the prompt of req name, and checks req again. A
// prompt keeps the name of an adapter that is not there; the reply says so.
func (s *Server) findLoRAs(ctx context.Context, req *apiRequest) error {
	// Another Kleinbild, which asks for a model by its digest, means its prompts as they are: it records them itself.
	inPrompt := inference.HasLoRATags(req.ask.Prompt) && req.digest == ""
	if len(req.loras) == 0 && !inPrompt {
		return nil
	}
	names, err := inference.ListLoRAs(ctx)
	if err != nil {
		return err
	}
	for _, asked := range req.loras {
		l, ok := names.Find(asked.Name)
		if !ok {
			return invalid(fieldLoRAs, "%s is not here; GET %s lists the names", quote(printable(asked.Name)), pathLoRAs)
		}
		if asked.Strength != nil {
			l.Strength = *asked.Strength
		}
		l.Digest = asked.SHA256
		req.ask.LoRAs = append(req.ask.LoRAs, l)
	}
	if inPrompt {
		var found []inference.LoRA
		var left []string
		req.ask.Prompt, found, left = inference.TakeLoRATags(req.ask.Prompt, names)
		req.ask.LoRAs = append(req.ask.LoRAs, found...)
		req.ignored = append(req.ignored, left...)
	}
	if req.checked, err = req.ask.Check(); err != nil {
		var e inference.FieldError
		if errors.As(err, &e) {
			return refusal(e, ourNames[e.Field], e.Want)
		}
	}
	return err
}

// setLoRAs refuses adapters that do not fit the model, before the request waits, and sets the header that says how many
// layers of the others are applied.
func setLoRAs(ctx context.Context, w *reply, req *apiRequest, m Model) error {
	e, ok := m.Engine.(adapting)
	var infos []inference.LoRAInfo
	for _, l := range req.checked.LoRAs() {
		if !ok {
			return invalid(fieldLoRAs, "found %s, but this model takes none", quote(l.Name))
		}
		info, err := e.LoRA(ctx, l)
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return invalid(fieldLoRAs, "%s", loraProblem(l, err))
		}
		infos = append(infos, info)
	}
	if len(infos) > 0 {
		w.Header().Set(headerLoRAs, loraHeader(infos))
	}
	return nil
}

// loraHeader returns the value of the header: for each adapter its name and, as 280/280, the layers that were applied.
func loraHeader(list []inference.LoRAInfo) string {
	var texts []string
	for _, l := range list {
		name := strings.Map(func(r rune) rune {
			if r <= ' ' || r > '~' || r == ',' || r == '=' {
				return '?'
			}
			return r
		}, l.Name)
		texts = append(texts, fmt.Sprintf("%s=%d/%d", name, l.Matched, l.Total))
	}
	return strings.Join(texts, ", ")
}
