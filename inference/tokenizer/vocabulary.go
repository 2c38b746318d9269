package tokenizer

import (
	"fmt"
	"strings"
)

// The types of tokens in llama.cpp's metadata (enum llama_token_type). Normal tokens have another number.
const (
	typeNormal      = 1
	typeControl     = 3
	typeUserDefined = 4
	typeUnused      = 5
)

// FromVocabulary returns the tokenizer of a text encoder in a GGUF file: the tokens in the order of their ids, their
// types, and the merges, "left right", in the order of their ranks. Control tokens and those that a user has added are
// cut out of a text before all else, and unused ones do not exist. Everything else is as in Qwen2's tokenizer. The
// padding token is that of the reference, not the file's: makers write other ones, and the model reads the padding.
// Errors call the file name.
func FromVocabulary(name string, tokens []string, types []float64, merges []string) (*Tokenizer, error) {
	if len(types) != len(tokens) || len(tokens) > maxID+1 || len(merges) > maxMerges {
		return nil, fmt.Errorf("tokenizer: %s: %d tokens, %d types and %d merges, want at most %d tokens with a type each",
			name, len(tokens), len(types), len(merges), maxID+1)
	}
	var vocab []entry
	var added []addedToken
	for id, token := range tokens {
		switch types[id] {
		case typeControl, typeUserDefined:
			added = append(added, addedToken{ID: int32(id), Content: token})
		case typeUnused:
		default:
			vocab = append(vocab, entry{token, int32(id)})
		}
	}
	pairs := make([][2]string, len(merges))
	for i, merge := range merges {
		pair, err := splitMerge(merge)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %s: merge %d: %w", name, i, err)
		}
		pairs[i] = pair
	}
	t := &Tokenizer{name: name}
	if err := t.build(vocab, pairs, added, config{}); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	return t, nil
}

// Vocabulary returns what FromVocabulary reads: the spelling and the type of each token, and the merges. There are as
// many tokens as a text encoder's embedding has rows, which must be at least VocabSize; ids without a token are unused.
// As in llama.cpp's files, added tokens of the form <|…|> are control tokens and the others a user's.
func (t *Tokenizer) Vocabulary(rows int) (tokens []string, types []int32, merges []string) {
	for id := range max(rows, len(t.tokens)) {
		token, kind := "", int32(typeNormal)
		if id < len(t.tokens) {
			token = t.tokens[id]
		}
		content, added := t.contents[int32(id)]
		switch {
		case added && strings.HasPrefix(content, "<|"):
			token, kind = content, typeControl
		case added:
			token, kind = content, typeUserDefined
		case token == "":
			token, kind = fmt.Sprintf("[PAD%d]", id), typeUnused
		}
		tokens, types = append(tokens, token), append(types, kind)
	}
	for _, m := range t.merges {
		merges = append(merges, t.tokens[m.left]+" "+t.tokens[m.right])
	}
	return tokens, types, merges
}
