package studio

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// Ask returns what the desk asks for, without a seed. The error is an inference.FieldError about a text that cannot be
// read. info describes the model that is open; it is the zero Info if none is. Guidance that was typed is only used for
// a base model, because a distilled model takes none.
func (d Desk) Ask(info inference.Info) (ask inference.Ask, err error) {
	ask = inference.Ask{Prompt: d.Prompt, Preview: true, LoRAs: d.askedLoRAs()}
	for _, r := range d.References() {
		ask.References = append(ask.References, r)
	}
	if ask.Edit, err = d.edit(nil); err != nil {
		return ask, err
	}
	d.size(&ask, d.Size)
	if text := strings.TrimSpace(d.Steps); text != "" {
		if ask.Steps, err = inference.ParseSteps(text); err != nil {
			return ask, err
		}
	}
	if text := strings.TrimSpace(d.Guidance); text != "" && info.Variant == inference.Base {
		ask.Guidance, err = inference.ParseGuidance(strings.Replace(text, ",", ".", 1))
	}
	return ask, err
}

// size sets the size of ask, which is size if the desk has no aspect ratio.
func (d Desk) size(ask *inference.Ask, size picture.Size) {
	switch {
	case d.SizeOfImage1():
		ask.Aspect = picture.Match
	case d.Aspect != "":
		ask.Aspect = d.Aspect
	default:
		ask.Size = &size
	}
}

// parseSeed reads the seed. ParseSeed takes -1 as a request for a random seed. On a desk that is an error: the window
// draws seeds with RollSeed, so that the artist sees them.
func (d Desk) parseSeed() (uint64, error) {
	seed, err := inference.ParseSeed(d.Seed)
	if err == nil && seed == nil {
		err = inference.Unreadable(inference.FieldSeed, d.Seed)
	}
	if err != nil {
		return 0, err
	}
	return *seed, nil
}

// NextBatch returns the batch that the desk asks for. All pictures of the desk must have been read (Desk.Reading). The
// error is an inference.FieldError.
func (s *Studio) NextBatch() (Batch, error) {
	d := s.Desk.Desk()
	b := Batch{Desk: d, Count: d.Count}
	seed, err := d.parseSeed()
	if err != nil {
		return b, err
	}
	info, _ := s.Model.Info()
	ask, err := d.Ask(info)
	if err != nil {
		return b, err
	}
	takeTags(&ask, s.LoRAs.Names())
	checked, err := ask.Check()
	if err != nil {
		return b, err
	}
	b.Tags = s.LoRAs.TakeTags(d.Prompt)
	b.Seed, b.Steps, b.Guidance = seed, checked.Steps(), checked.Guidance()
	b.Size, _ = checked.Size(info)
	b.Group = newGroup(b.Count)
	return b, nil
}

// newGroup returns a group that no other batch has, 0 for a batch of one picture.
func newGroup(count int) uint64 {
	if count < 2 {
		return 0
	}
	return rand.Uint64()
}

// Request returns a request for the next picture with an arbitrary seed: it serves to find out what the picture costs.
// For an edit it is a request that costs about the same: a picture of the size at which the model works, with the same
// references. The edit itself can be resolved only when image 1 has been read at its full resolution.
func (s *Studio) Request() (inference.Request, error) {
	info, _ := s.Model.Info()
	ask, err := s.Desk.Desk().Ask(info)
	if err != nil {
		return inference.Request{}, err
	}
	takeTags(&ask, s.LoRAs.Names())
	if ask.Edit != nil {
		if ask.Edit.Mask != nil || ask.Edit.Extend != (inference.Extension{}) {
			ask.Aspect = picture.Square
		}
		ask.Edit = nil
	}
	return ask.Resolve(info)
}

// Estimate says how long what the desk asks for will take; 0 if that is not known. Of one instruction for many files it
// takes all of them for as large as image 1.
func (s *Studio) Estimate() time.Duration {
	engine := s.Model.Engine()
	if engine == nil {
		return 0
	}
	req, err := s.Request()
	if err != nil {
		return 0
	}
	d := s.Desk.Desk()
	return s.Album.Estimate(engine.Info(), engine.Work(req)) * time.Duration(d.Count*max(len(d.EachOf()), 1))
}
