package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/server/api"
)

// LoRAs returns the adapters that the server has by name, none if it takes none from here.
func (e *Engine) LoRAs(ctx context.Context) (names inference.LoRANames, err error) {
	if !e.takesLoRAs() {
		return nil, nil
	}
	list, err := e.askLoRAs(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, l := range list[:min(len(list), maxLoRANames)] {
		if name := clean(l.Name, maxTextRunes); name != "" && name == l.Name {
			names = append(names, inference.NamedLoRA{Name: name})
		}
	}
	return names, nil
}

// LoRA asks the server how an adapter that it has by name fits its model. A file of this computer is refused.
func (e *Engine) LoRA(ctx context.Context, l inference.LoRA) (info inference.LoRAInfo, err error) {
	if err := e.checkLoRA(l); err != nil {
		return info, err
	}
	list, err := e.askLoRAs(ctx, url.Values{api.ParameterName: {l.Name}})
	switch {
	case err != nil:
		return info, err
	case len(list) != 1 || list[0].Fit == nil:
		return info, e.failf("does not say what the LoRA %s is", l.Name)
	}
	fit := *list[0].Fit
	if fit.Problem != "" {
		return info, e.failf("cannot use the LoRA %s: %s", l.Name, clean(fit.Problem, maxDetailRunes))
	}
	if l.Digest != "" && !strings.EqualFold(fit.SHA256, l.Digest) {
		return info, e.failf("has another file as the LoRA %s than was used, want that with SHA-256 %s", l.Name, l.Digest)
	}
	return checkFit(fit).Info(l.Name), nil
}

// checkFit returns a description within the limits of what is believed.
func checkFit(f api.LoRAFit) api.LoRAFit {
	for _, text := range []*string{&f.SHA256, &f.Kinds, &f.Trainer, &f.Title, &f.Base} {
		*text = clean(*text, maxTextRunes)
	}
	f.Left = clean(f.Left, maxDetailRunes)
	f.Triggers = slices.Clone(f.Triggers[:min(len(f.Triggers), maxNotices)])
	for i := range f.Triggers {
		f.Triggers[i] = clean(f.Triggers[i], maxTextRunes)
	}
	for _, n := range []*int{&f.LowestRank, &f.HighestRank, &f.Matched, &f.Total} {
		*n = count(*n)
	}
	return f
}

// askLoRAs is GET /v1/loras.
func (e *Engine) askLoRAs(ctx context.Context, query url.Values) ([]api.LoRA, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, e.limits.ask, errSilent)
	defer cancel()
	var list api.LoRAList
	asked := call{method: http.MethodGet, path: api.PathLoRAs, query: query}
	err := e.getJSON(ctx, asked, maxLoRABytes, &list)
	if errors.Is(err, errSilent) {
		return nil, e.connectionError(err, true)
	}
	return list.Data, err
}

func (e *Engine) takesLoRAs() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return hasFeature(e.features, api.LoRAs)
}

// checkLoRA returns an error if the server cannot take an adapter from here.
func (e *Engine) checkLoRA(l inference.LoRA) error {
	switch {
	case !e.takesLoRAs():
		return e.failf("takes no LoRAs from here, want a newer version there, or a picture without")
	case l.Path != "":
		return e.failf("does not have the LoRA file %s, which is on this computer only: want one that it has by name",
			picture.BaseName(l.Path))
	}
	return nil
}

// lorasField returns the field loras of a request.
func lorasField(req inference.Request) string {
	var list []api.LoRAAsked
	for _, l := range req.LoRAs() {
		list = append(list, api.LoRAAsked{Name: l.Name, Strength: &l.Strength, SHA256: l.Digest})
	}
	text, err := json.Marshal(list)
	if err != nil { // strengths are finite
		panic(fmt.Errorf("client: %w", err))
	}
	return string(text)
}

// lorasOf returns the adapters for the metadata: those of the request, with the digests that the server tells.
func lorasOf(told []picture.LoRAFile, req inference.Request) (list []picture.LoRAFile, err error) {
	asked := req.LoRAs()
	if len(told) != len(asked) {
		return nil, fmt.Errorf("it was made with %d LoRAs, want %d", len(told), len(asked))
	}
	for i, l := range asked {
		if told[i].Strength != l.Strength || l.Digest != "" && !strings.EqualFold(told[i].SHA256, l.Digest) {
			return nil, fmt.Errorf("it was made with another LoRA than %s at %v", l.Name, l.Strength)
		}
		list = append(list, picture.LoRAFile{
			Name: path.Base(l.Name), SHA256: clean(told[i].SHA256, maxTextRunes), Strength: l.Strength,
		})
	}
	return list, nil
}
