// Package tokenizer turns a prompt into the token ids that Qwen3 was trained on, and ids back into text.
//
// In goes UTF-8 text and a tokenizer's files (tokenizer.json, or vocab.json with merges.txt); out come ids, equal to those of the
// reference (Hugging Face tokenizers 0.23 under transformers' Qwen2Tokenizer). A text passes four stages: added tokens are cut
// out of it, the rest is normalised (NFC), split into words (the Qwen2 pattern) and merged byte pair by byte pair (BPE).
//
// Bytes that are not UTF-8 become U+FFFD first, one for each maximal invalid part, as Python's decoding with errors="replace" does.
//
// It refuses every other kind of tokenizer by name (another model type, normalizer, pattern or option), as well as files that
// contradict themselves. It knows nothing of the model but the chat template in Prompt.
package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Tokenizer holds one vocabulary. It never changes after opening: any number of goroutines may use it at once.
type Tokenizer struct {
	name     string            // the file or folder it was read from, for errors
	tokens   []string          // id → its spelling in the vocabulary; empty where no token has that id
	bytes    [256]int32        // byte → id of its one-byte token, or absent
	rank     map[uint64]uint32 // pairKey(left, right) → index in merges; the lower, the earlier
	merges   []merge
	raw      matcher          // added tokens found in the text as it is
	normal   matcher          // added tokens found after normalisation
	added    map[string]int32 // added token → id
	contents map[int32]string // id → added token
	pad      string           // the padding token
}

// absent marks a byte without a token; the reference drops such bytes.
const absent = -1

// VocabSize is the highest id plus one: an embedding needs at least that many rows.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// Encode returns the ids of text as it stands: no template, no padding, no truncation. Added tokens written out in the text
// (<|im_end|>, <think>) become their ids, as in the reference. The cost grows with n·log n of the text's length at worst.
func (t *Tokenizer) Encode(text string) []int32 {
	ids := []int32{}
	t.raw.split(validUTF8(text), func(piece string, id int32) {
		if id != absent {
			ids = append(ids, id)
			return
		}
		t.normal.split(nfc(piece), func(piece string, id int32) {
			if id != absent {
				ids = append(ids, id)
				return
			}
			for len(piece) > 0 {
				n := wordLen(piece)
				ids = t.appendWord(ids, piece[:n])
				piece = piece[n:]
			}
		})
	})
	return ids
}

// Decode returns the text of ids, special tokens included. Unknown ids are left out; a character that the ids hold only a part
// of becomes U+FFFD.
func (t *Tokenizer) Decode(ids []int32) string {
	var text strings.Builder
	for _, id := range ids {
		if content, ok := t.contents[id]; ok {
			text.WriteString(content)
		} else if id >= 0 && int(id) < len(t.tokens) {
			text.WriteString(spelledBytes(t.tokens[id]))
		}
	}
	return validUTF8(text.String())
}

// validUTF8 replaces what is not UTF-8 by U+FFFD, one for each maximal part of a character (Unicode 15, section 3.9, table 3-8).
// Go's own conversion writes one for each byte.
func validUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var out strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			n = invalidLen(s)
		}
		out.WriteRune(r)
		s = s[n:]
	}
	return out.String()
}

// invalidLen is the length of the invalid part that s starts with: the longest beginning of any character, or one byte.
func invalidLen(s string) int {
	for n := min(3, len(s)); n > 1; n-- {
		if !utf8.FullRuneInString(s[:n]) {
			return n
		}
	}
	return 1
}
