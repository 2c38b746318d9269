package inference

import (
	"context"
	"errors"
)

// Generator makes pictures of one model. An Engine is a Generator on this machine; the package client has one that
// works on another computer. CountTokens and Work may be called while Generate runs.
type Generator interface {
	// Info describes the model and where it computes.
	Info() Info
	// Generate makes one picture, as Engine.Generate. progress may be nil.
	Generate(ctx context.Context, req Request, progress func(Progress)) (*Result, error)
	// CountTokens is Engine.CountTokens. It may take a moment, but not for ever.
	CountTokens(prompt string) (count, limit int, err error)
	// Work is Engine.Work. It takes no time.
	Work(req Request) float64
	// Close frees everything. It waits until Generate has returned.
	Close() error
}

// Adapting is a Generator that takes adapters: an Engine, and that of another computer that takes them by their names.
type Adapting interface {
	Generator
	// LoRAs returns the adapters that the engine has by name. Those of another computer have no paths.
	LoRAs(ctx context.Context) (LoRANames, error)
	// LoRA is Engine.LoRA.
	LoRA(ctx context.Context, l LoRA) (LoRAInfo, error)
}

var _ Adapting = (*Engine)(nil)

// Retryable says whether err comes from a fault that passes, such as a connection that was cut: the same request may
// succeed later, without any change.
func Retryable(err error) bool {
	var r interface{ Retryable() bool }
	return errors.As(err, &r) && r.Retryable()
}
