package inference

import (
	"strings"
	"sync"

	"github.com/kleinbild/kleinbild/inference/lora"
)

// loraCost is the arithmetic of an adapter in a pass of a step, in multiply-adds for each token: of the text, of the
// picture with its references, and of both in single blocks.
type loraCost struct{ text, picture, both float64 }

// loraCosts are the costs of adapters by the paths of their files. They have a lock of their own, because Work must not
// wait for a file that is being read.
type loraCosts struct {
	mu   sync.Mutex
	cost map[string]loraCost
}

// note notes what an adapter costs that was opened.
func (c *loraCosts) note(path string, m *lora.Match) {
	cost := costOf(m.Changes())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cost == nil || len(c.cost) >= plannedShapes {
		c.cost = map[string]loraCost{}
	}
	c.cost[path] = cost
}

// work returns the arithmetic of the adapters of r, of which those count that were opened. tokens are those of the text
// and of the picture with the references, in each of passes passes.
func (c *loraCosts) work(list []LoRA, textTokens, pictureTokens, passes int) (total float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text, picture := float64(textTokens), float64(pictureTokens)
	for _, l := range list {
		if cost := c.cost[l.Path]; l.Strength != 0 {
			total += float64(passes) * (cost.text*text + cost.picture*picture + cost.both*(text+picture))
		}
	}
	return total
}

// costOf adds up the costs of changes. The left factor of changes with one source is applied once.
func costOf(changes []lora.Change) (cost loraCost) {
	seen := map[string]bool{}
	for _, c := range changes {
		rows, cols := float64(c.To-c.From), float64(c.Cols)
		var work float64
		switch {
		case c.Rank > 0:
			work = float64(c.Rank) * rows
			if !seen[c.Source] {
				work += float64(c.Rank) * cols
			}
		case c.P1 > 0:
			work = cols*float64(c.P1) + rows*float64(c.Q2)
		case c.Whole:
			work = rows * cols
		}
		seen[c.Source] = true
		switch name := c.Weight; {
		case strings.HasPrefix(name, "single_transformer_blocks."):
			cost.both += work
		case strings.Contains(name, ".add_"), strings.Contains(name, ".to_add_"), strings.Contains(name, ".ff_context."),
			strings.HasPrefix(name, "context_embedder"):
			cost.text += work
		case strings.HasPrefix(name, "transformer_blocks."), strings.HasPrefix(name, "x_embedder"),
			strings.HasPrefix(name, "proj_out"):
			cost.picture += work
		} // what is left, such as the modulation, has one row for all tokens
	}
	return cost
}
