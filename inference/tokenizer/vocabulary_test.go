package tokenizer

import (
	"slices"
	"strings"
	"testing"
)

// TestFromVocabulary spells the embedded tokenizer as llama.cpp's metadata does, with unused tokens behind it, and
// compares the ids of prompts.
func TestFromVocabulary(t *testing.T) {
	want, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	tokens, kinds, merges := want.Vocabulary(want.VocabSize() + 267)
	if n := want.VocabSize() + 267; len(tokens) != n || len(kinds) != n {
		t.Fatalf("%d tokens and %d types, want %d", len(tokens), len(kinds), n)
	}
	types := make([]float64, len(kinds))
	for i, kind := range kinds {
		types[i] = float64(kind)
	}
	for token, kind := range map[string]int32{"a": typeNormal, "<|im_end|>": typeControl, "<think>": typeUserDefined} {
		if i := slices.Index(tokens, token); i < 0 || kinds[i] != kind {
			t.Errorf("%s: id %d, want one of type %d", token, i, kind)
		}
	}
	have, err := FromVocabulary("x.gguf", tokens, types, merges)
	if err != nil {
		t.Fatal(err)
	}
	if have.VocabSize() != want.VocabSize() {
		t.Errorf("%d ids, want %d: unused tokens do not count", have.VocabSize(), want.VocabSize())
	}
	for _, text := range []string{
		"", "a red fox in the snow", "Füchse\n\n im  Schnee 123", "<think>x</think><|im_end|>", "[PAD151700]",
	} {
		a, errA := have.Prompt(text, 64)
		b, errB := want.Prompt(text, 64)
		if errA != nil || errB != nil || !slices.Equal(a.IDs, b.IDs) || a.Count != b.Count {
			t.Errorf("%q: ids %v, want %v (%v, %v)", text, a.IDs, b.IDs, errA, errB)
		}
	}
	for _, row := range []struct {
		name   string
		tokens []string
		types  []float64
		merges []string
		want   string
	}{
		{"types", []string{"a"}, nil, nil, "1 tokens, 0 types"},
		{"merge without a space", []string{"a"}, []float64{1}, []string{"ab"}, "merge 0"},
		{"merge of unknown tokens", []string{"a"}, []float64{1}, []string{"a b"}, "merge 0"},
		{"token twice", []string{"a", "a"}, []float64{1, 1}, nil, "occurs twice"},
		{"empty token", []string{""}, []float64{1}, nil, "empty"},
	} {
		_, err := FromVocabulary("x.gguf", row.tokens, row.types, row.merges)
		if err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), "x.gguf") {
			t.Errorf("%s: error %v, want one with %q", row.name, err, row.want)
		}
	}
}
