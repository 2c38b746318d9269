// Package api has the JSON that a server and a client of Kleinbild exchange, with the version of that protocol. It
// checks nothing: whoever reads a value from another computer has to.
package api

import (
	"github.com/kleinbild/kleinbild/inference"
)

// Program is the value of Engine.Program, by which a client tells a Kleinbild from other servers.
const Program = "kleinbild"

// Protocol is the version of what client and server say to each other. It increases when a client could not do with an
// older server, or a server with an older client. What a client can do without is a feature instead.
const Protocol = 1

// The paths of the API that Kleinbild's own client uses.
const (
	PathEngine   = "/v1/engine"
	PathTokens   = "/v1/tokens"
	PathGenerate = "/v1/generate"
	PathHealth   = "/healthz"
	PathDocument = "/openapi.json"
)

// Title is the title of the document at PathDocument.
const Title = "Kleinbild"

// The names of the events of POST /v1/generate. EventPicture and EventError are the last of a stream.
const (
	EventQueued   = "queued"
	EventProgress = "progress"
	EventPreview  = "preview"
	EventPicture  = "picture"
	EventError    = "error"
)

// Feature is something that a server can do.
type Feature string

const (
	// Previews are previews of a picture during a run: the field previews.
	Previews Feature = "previews"
	// References are reference pictures, up to Model.MaxReferences.
	References Feature = "references"
	// Edits are edits of a part of image 1, with all fields of an inference.Edit.
	Edits Feature = "edits"
	// Areas are edits that say on which area the model works.
	Areas Feature = "areas"
)

// Engine is the reply of GET /v1/engine.
type Engine struct {
	Program  string    `json:"program"`
	Version  string    `json:"version"` // of the program
	Protocol int       `json:"protocol"`
	Features []Feature `json:"features"`
	Model    Model     `json:"model"`
}

// Model describes the model of a server, and where it computes. The fields are those of inference.Info.
type Model struct {
	Name              string              `json:"name"`
	Digest            string              `json:"digest"`
	Layout            string              `json:"layout"`
	Family            string              `json:"family"`
	Variant           inference.Variant   `json:"variant"`
	Device            string              `json:"device"`
	Precision         inference.Precision `json:"precision"`
	SizeBytes         int64               `json:"size_bytes"`
	Weights           string              `json:"weights"` // the formats of the networks' weights
	Quality           inference.Closeness `json:"quality"` // how far the pictures are from those of bf16 weights
	Steps             int                 `json:"steps"`
	Guidance          float64             `json:"guidance"`
	NativeSize        int                 `json:"native_size"`
	MaxSequenceLength int                 `json:"text_tokens"`
	TokenChannels     int                 `json:"token_channels"`
	MaxReferences     int                 `json:"max_references"`
	Demo              bool                `json:"demo"`
	Notices           []string            `json:"notices"`
	Costs             inference.Costs     `json:"costs"`
}

// ModelOf returns the description of an engine for other computers. It has no paths of this one.
func ModelOf(i inference.Info) Model {
	m := Model{
		Name: i.Model, Digest: i.Digest, Layout: i.Layout, Family: i.Family, Variant: i.Variant, Device: i.Device,
		Precision: i.Precision, SizeBytes: i.SizeBytes, Steps: i.Steps, Guidance: i.Guidance, NativeSize: i.NativeSize,
		MaxSequenceLength: i.MaxSequenceLength, TokenChannels: i.TokenChannels, MaxReferences: inference.MaxReferences,
		Demo: i.Demo, Notices: i.Notices, Costs: i.Costs, Weights: i.Weights, Quality: i.Closeness,
	}
	if m.Notices == nil {
		m.Notices = []string{}
	}
	return m
}

// Info returns the model as an inference.Info. The caller adds where it is.
func (m Model) Info() inference.Info {
	return inference.Info{
		Model: m.Name, Digest: m.Digest, Layout: m.Layout, Family: m.Family, Variant: m.Variant, Device: m.Device,
		Precision: m.Precision, SizeBytes: m.SizeBytes, Steps: m.Steps, Guidance: m.Guidance, NativeSize: m.NativeSize,
		MaxSequenceLength: m.MaxSequenceLength, TokenChannels: m.TokenChannels, Demo: m.Demo, Notices: m.Notices,
		Costs: m.Costs, Weights: m.Weights, Closeness: m.Quality,
	}
}

// TokensAsked is the body of POST /v1/tokens.
type TokensAsked struct {
	Prompt string `json:"prompt"`
}

// Tokens is the reply of POST /v1/tokens: how many tokens a prompt takes, and how many the model reads.
type Tokens struct {
	Count int `json:"count"`
	Limit int `json:"limit"`
}

// Health is the reply of GET /healthz if there is a model.
type Health struct {
	Status  string `json:"status"`  // "ok"
	Demo    bool   `json:"demo"`    // the model is the demo model
	Running int    `json:"running"` // how many pictures are being made, 0 or 1
	Waiting int    `json:"waiting"` // how many requests wait
	Places  int    `json:"places"`  // how many requests may wait
}

// Queued is the data of the event queued.
type Queued struct {
	Before int `json:"before"` // how many pictures are made first
}

// Progress is the data of the event progress. Times are in seconds.
type Progress struct {
	Stage     inference.Stage `json:"stage"`
	Step      int             `json:"step"`
	Total     int             `json:"total"`
	Fraction  float64         `json:"fraction"` // of the whole run
	Elapsed   float64         `json:"elapsed"`
	Remaining float64         `json:"remaining"`
}

// ProgressOf returns p without its preview.
func ProgressOf(p inference.Progress) Progress {
	return Progress{p.Stage, p.Step, p.Total, p.Fraction, p.Elapsed.Seconds(), p.Remaining.Seconds()}
}

// Preview is the data of the event preview: what the picture looks like after a step, in base64 of a PNG.
type Preview struct {
	Step  int    `json:"step"`
	Total int    `json:"total"`
	Image string `json:"image"`
}

// Picture is the data of the event picture.
type Picture struct {
	ID             string             `json:"id"`
	Seconds        float64            `json:"seconds"`
	Resolution     string             `json:"resolution"`
	Model          string             `json:"model"` // the name that requests use for it
	Workflow       inference.Workflow `json:"workflow"`
	ReferenceCount int                `json:"reference_count"`
	Seed           uint64             `json:"seed"`
	Truncated      string             `json:"truncated"` // the end of the prompt that the model did not read
	Stages         []Stage            `json:"stages"`
	Changed        float64            `json:"changed"` // the share of the pixels that were made, below 1 for some edits
	Image          string             `json:"image"`   // the file in base64
}

// Stage is how long a stage took, and an estimate of its arithmetic in multiply-adds.
type Stage struct {
	Stage   inference.Stage `json:"stage"`
	Seconds float64         `json:"seconds"`
	Work    float64         `json:"work"`
}

// StagesOf returns the times of a run.
func StagesOf(timings []inference.Timing) []Stage {
	list := []Stage{}
	for _, t := range timings {
		list = append(list, Stage{t.Stage, t.Duration.Seconds(), t.Work})
	}
	return list
}

// Failure is the data of the event error.
type Failure struct {
	Status int    `json:"status"` // the status that the reply would have had
	Detail string `json:"detail"`
	// RetryAfter says in seconds when to try again, 0 if trying again does not help.
	RetryAfter int `json:"retry_after,omitempty"`
}
