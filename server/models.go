package server

import (
	"context"
	"net/http"
	"strings"
)

// The paths of the models, as patterns of http.ServeMux. An id may contain slashes.
const (
	pathModels = "/v1/models"
	pathModel  = pathModels + "/{id...}"
)

// modelList is the reply of GET /v1/models in OpenAI's format.
type modelList struct {
	Object string      `json:"object"`
	Data   []modelItem `json:"data"`
}

type modelItem struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"` // when the server started
	OwnedBy string `json:"owned_by"`
}

func (s *Server) models(w *reply, r *http.Request) error {
	return w.json(http.StatusOK, modelList{Object: "list", Data: s.modelItems(r.Context())})
}

// modelItems returns an item for each name that requests may use, none if there is no model.
func (s *Server) modelItems(ctx context.Context) []modelItem {
	items := []modelItem{}
	if m, err := s.openModel(ctx); err == nil {
		for _, id := range s.modelIDs(m) {
			items = append(items, modelItem{ID: id, Object: "model", Created: s.started.Unix(), OwnedBy: "kleinbild"})
		}
	}
	return items
}

// oneModel is GET /v1/models/{id}.
func (s *Server) oneModel(w *reply, r *http.Request) error {
	id := strings.TrimPrefix(r.URL.Path, pathModels+"/") // not r.PathValue, which dispatch does not set
	if id == "" {
		return errNoPath()
	}
	for _, item := range s.modelItems(r.Context()) {
		if item.ID == id {
			return w.json(http.StatusOK, item)
		}
	}
	detail := "model: " + quote(printable(id)) + " is not served; GET /v1/models lists the models that are"
	return &apiError{status: http.StatusNotFound, detail: detail, field: fieldModel}
}
