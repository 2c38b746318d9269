package tokenizer

import (
	"cmp"
	"fmt"
	"slices"
)

// build fills t from a vocabulary spelled with byteRunes, its merges in the order of their ranks, and the added tokens.
// It returns an error if these contradict each other.
func (t *Tokenizer) build(vocab []entry, merges [][2]string, added []addedToken, conf config) error {
	ids := make(map[string]int32, len(vocab))
	for _, e := range vocab {
		if first, ok := ids[e.token]; ok {
			return fmt.Errorf("token %.200q occurs twice, with the ids %d and %d", e.token, first, e.id)
		}
		if err := t.claim(e.token, e.id); err != nil {
			return err
		}
		ids[e.token] = e.id
	}
	for b, r := range byteRunes {
		id, ok := ids[string(r)]
		if !ok {
			id = absent
		}
		t.bytes[b] = id
	}

	t.rank = make(map[uint64]uint32, len(merges))
	t.merges = make([]merge, len(merges))
	var joined []byte
	for i, pair := range merges {
		left, hasLeft := ids[pair[0]]
		right, hasRight := ids[pair[1]]
		joined = append(append(joined[:0], pair[0]...), pair[1]...)
		id, hasBoth := ids[string(joined)]
		if !hasLeft || !hasRight || !hasBoth {
			return fmt.Errorf("merge %d: %.200q and %.200q: want a vocabulary that holds both and their concatenation",
				i, pair[0], pair[1])
		}
		t.merges[i] = merge{left, right, id}
		t.rank[pairKey(left, right)] = uint32(i) // the last of equal merges wins, as in the reference
	}

	if len(added) > maxAdded {
		return fmt.Errorf("%d added tokens, want at most %d", len(added), maxAdded)
	}
	t.added = make(map[string]int32, len(added))
	slices.SortFunc(added, func(a, b addedToken) int { return cmp.Compare(a.ID, b.ID) })
	t.contents = make(map[int32]string, len(added))
	var raw, normalized []addedToken
	for _, token := range added {
		if len(token.Content) > maxAddedBytes {
			return fmt.Errorf("added token of %d bytes, want at most %d", len(token.Content), maxAddedBytes)
		}
		if first, ok := t.added[token.Content]; ok {
			return fmt.Errorf("added token %.200q has the ids %d and %d, want one", token.Content, first, token.ID)
		}
		if id, ok := ids[token.Content]; ok && id != token.ID {
			return fmt.Errorf("added token %.200q has the id %d, but %d in the vocabulary", token.Content, token.ID, id)
		} else if !ok {
			if err := t.claim(token.Content, token.ID); err != nil {
				return err
			}
		}
		t.added[token.Content] = token.ID
		t.contents[token.ID] = token.Content
		if token.Normalized {
			token.Content = nfc(token.Content)
			normalized = append(normalized, token)
		} else {
			raw = append(raw, token)
		}
	}
	t.raw, t.normalized = newMatcher(raw), newMatcher(normalized)
	t.pad = cmp.Or(string(conf.PadToken), endOfText)
	return nil
}

// claim assigns id to token. It returns an error if token is empty, or id is out of range or assigned.
func (t *Tokenizer) claim(token string, id int32) error {
	if token == "" {
		return fmt.Errorf("the token with the id %d is empty", id)
	}
	if id < 0 || id > maxID {
		return fmt.Errorf("token %.200q has the id %d, want 0 to %d", token, id, maxID)
	}
	if missing := int(id) + 1 - len(t.tokens); missing > 0 {
		t.tokens = append(t.tokens, make([]string, missing)...)
	}
	if taken := t.tokens[id]; taken != "" {
		return fmt.Errorf("id %d belongs to %.200q and to %.200q, want one of them", id, taken, token)
	}
	t.tokens[id] = token
	return nil
}
