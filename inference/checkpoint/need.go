package checkpoint

import (
	"context"
	"fmt"
)

// Need is the memory in bytes that a model takes, counted for a picture of a megapixel: its largest network, and what
// the run holds beside it. Networks take turns. With less memory a model works, too, but weights are fetched again in
// every step.
type Need struct {
	Processor int64 // weights are in memory as they are stored
	Card      int64 // so are quantised weights; all others are bf16
}

// What a run holds beside the weights, in bytes for each value of the transformer's width, and cardFixed for the VAE
// and the driver. The first was measured for the 4B model at 1344×768 (docs/speed.md), the others are planned for
// 1024×1024 (kernels/SPEED.md).
const (
	processorWork = 750_000_000 / 3072
	cardWork      = 1_170_000_000 / 3072
	cardFixed     = 670_000_000
)

// needOf returns the need of a model whose largest network takes so many bytes as it is stored, and so many on a card.
// hidden is the width of the transformer.
func needOf(stored, card int64, hidden int) Need {
	return Need{
		Processor: stored + int64(hidden)*processorWork,
		Card:      card + int64(hidden)*cardWork + cardFixed,
	}
}

// CountNeed returns the need of a model of a published size (4B or 9B) whose largest network takes so many bytes.
func CountNeed(name string, stored int64) Need {
	for _, s := range sizes {
		if s.name == name {
			return needOf(stored, stored, s.hidden)
		}
	}
	return Need{}
}

// Need counts the model's need.
func (c *Checkpoint) Need() Need {
	var stored, card int64
	hidden := 0
	for _, k := range []kind{transformer, textEncoder, vae} {
		w, ok := c.component(k).Source.(*weights)
		if !ok {
			continue
		}
		var all matrix
		w.each(func(m matrix) {
			all.bytes += m.bytes
			all.card += m.card
		})
		stored, card = max(stored, all.bytes), max(card, all.card)
		if k == transformer {
			hidden = w.dim("x_embedder.weight", 0)
		}
	}
	return needOf(stored, card, hidden)
}

// Room is memory that a model should fit into. The zero Room has no limit.
type Room struct {
	Bytes int64
	Card  bool // it is a graphics card's
}

// Of returns how much of this memory a need is.
func (r Room) Of(n Need) int64 {
	if r.Card {
		return n.Card
	}
	return n.Processor
}

// Fits says whether a model with need n fits.
func (r Room) Fits(n Need) bool { return r.Bytes == 0 || r.Of(n) <= r.Bytes }

// Words says what a need is of this memory, for people: "needs 5.1 of 23.6 GB of memory".
func (r Room) Words(n Need) string {
	of := "memory"
	if r.Card {
		of = "the graphics card"
	}
	need, have := float64(r.Of(n))/1e9, float64(r.Bytes)/1e9
	switch {
	case r.Bytes == 0:
		return fmt.Sprintf("needs %.1f GB of %s", need, of)
	case !r.Fits(n):
		return fmt.Sprintf("needs %.1f GB of %s, there are only %.1f", need, of, have)
	}
	return fmt.Sprintf("needs %.1f of %.1f GB of %s", need, have, of)
}

// String returns a text for people, such as "the 8.0 GB of this computer".
func (r Room) String() string {
	of := "this computer"
	if r.Card {
		of = "the graphics card"
	}
	return fmt.Sprintf("the %.1f GB of %s", float64(r.Bytes)/1e9, of)
}

type roomKey struct{}

// WithRoom returns a context in which searches prefer models that fit into r.
func WithRoom(ctx context.Context, r Room) context.Context {
	return context.WithValue(ctx, roomKey{}, r)
}

// roomOf returns the room of WithRoom.
func roomOf(ctx context.Context) Room {
	r, _ := ctx.Value(roomKey{}).(Room)
	return r
}
