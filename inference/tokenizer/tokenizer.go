// Package tokenizer turns a prompt into Qwen3's token ids, and ids back into text.
//
// It reads a tokenizer's files (tokenizer.json, or vocab.json with merges.txt) and gives the same ids as the reference,
// Hugging Face tokenizers 0.23 as used by transformers' Qwen2Tokenizer. A text passes four stages: added tokens are cut
// out of it; the rest is normalised (NFC); the result is split into words (the Qwen2 pattern); the bytes of each word
// are merged to tokens by byte-pair encoding (BPE).
//
// Bytes that are not UTF-8 are replaced by U+FFFD before the first stage, one for each maximal invalid part, as in
// Python's decoding with errors="replace".
//
// Files of another kind of tokenizer (another model type, normalizer, pattern or option) and files that contradict each
// other are an error. The package knows nothing of the model but the chat template in Prompt.
package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Tokenizer holds one vocabulary. It does not change after Open, so that goroutines may use it concurrently.
type Tokenizer struct {
	name       string            // the file or folder that it was read from, for errors
	tokens     []string          // id → token, spelled with byteRunes; empty if no token has that id
	bytes      [256]int32        // byte → id of its one-byte token, or absent
	rank       map[uint64]uint32 // pairKey(left, right) → index in merges; lower ranks are merged first
	merges     []merge
	raw        matcher          // added tokens that are searched for in the text as given
	normalized matcher          // added tokens that are searched for in the normalised text
	added      map[string]int32 // content of an added token → id
	contents   map[int32]string // id of an added token → content
	pad        string           // content of the padding token
}

// absent is the id of a byte or a text part that has none. The reference drops bytes without a token.
const absent = -1

// VocabSize returns the highest id plus one. The model's embedding must have at least that many rows.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// Encode returns the ids of text, without template, padding or truncation. An added token that is written in the text
// (<|im_end|>, <think>) becomes its id, as in the reference. A text of n bytes takes at most O(n·log n) steps.
func (t *Tokenizer) Encode(text string) []int32 {
	ids := []int32{}
	t.raw.split(validUTF8(text), func(piece string, id int32) {
		if id != absent {
			ids = append(ids, id)
			return
		}
		t.normalized.split(nfc(piece), func(piece string, id int32) {
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

// Decode returns the text of ids, including special tokens. Ids without a token are skipped. Bytes that are not UTF-8,
// such as those of a character whose other tokens are missing, become U+FFFD.
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

// validUTF8 replaces bytes that are not UTF-8 by U+FFFD, one for each maximal subpart of a character (Unicode 15,
// section 3.9, table 3-8). Go's own conversion writes one for each byte.
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

// invalidLen returns the length of the invalid part at the beginning of s: the longest prefix that begins some
// character, or 1.
func invalidLen(s string) int {
	for n := min(3, len(s)); n > 1; n-- {
		if !utf8.FullRuneInString(s[:n]) {
			return n
		}
	}
	return 1
}
