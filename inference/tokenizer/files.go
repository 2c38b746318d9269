package tokenizer

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// config holds the fields of tokenizer_config.json that change ids. A missing file gives the zero value.
type config struct {
	Class              string                `json:"tokenizer_class"`
	PadToken           tokenName             `json:"pad_token"`
	PaddingSide        string                `json:"padding_side"`
	SplitSpecialTokens bool                  `json:"split_special_tokens"`
	AddedTokens        map[string]addedToken `json:"added_tokens_decoder"` // the keys are decimal ids
}

// tokenName is a token's content. In JSON it is a string, or an object with the field content.
type tokenName string

func (n *tokenName) UnmarshalJSON(data []byte) error {
	var object struct{ Content string }
	if data[0] == '{' {
		err := json.Unmarshal(data, &object)
		*n = tokenName(object.Content)
		return err
	}
	return json.Unmarshal(data, (*string)(n))
}

func readConfig(fsys fs.FS, dir string) (conf config, err error) {
	name := filepath.Join(dir, "tokenizer_config.json")
	data, err := readFile(fsys, "tokenizer_config.json", name, maxConfigBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return conf, nil
	}
	if err != nil {
		return conf, err
	}
	if err := json.Unmarshal(data, &conf); err != nil {
		return conf, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	switch {
	case conf.Class != "" && conf.Class != "Qwen2Tokenizer" && conf.Class != "Qwen2TokenizerFast":
		return conf, fmt.Errorf("tokenizer: %s: tokenizer_class %.100q, want Qwen2Tokenizer", name, conf.Class)
	case conf.PaddingSide != "" && conf.PaddingSide != "right":
		return conf, fmt.Errorf("tokenizer: %s: padding_side %.100q, want right", name, conf.PaddingSide)
	case conf.SplitSpecialTokens:
		return conf, fmt.Errorf("tokenizer: %s: split_special_tokens is true, want false", name)
	}
	for key, token := range conf.AddedTokens {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil {
			return conf, fmt.Errorf("tokenizer: %s: added_tokens_decoder: id %.50q, want a number up to %d",
				name, key, maxID)
		}
		token.ID = int32(id)
		conf.AddedTokens[key] = token
	}
	return conf, nil
}

// override returns added together with the tokens of c. As in transformers, if both have a token with the same id and
// content, c's flags are used. Tokens whose ids contradict each other are kept; build returns an error for them.
func (c config) override(added []addedToken) []addedToken {
	type key struct {
		id      int32
		content string
	}
	place := make(map[key]int, len(added))
	for i, a := range slices.Backward(added) { // so that place holds the first of equal tokens
		place[key{a.ID, a.Content}] = i
	}
	for _, token := range c.AddedTokens {
		if i, ok := place[key{token.ID, token.Content}]; ok {
			added[i] = token
		} else {
			added = append(added, token)
		}
	}
	return added
}

// parse parses data, a tokenizer.json. Errors call it name.
func parse(name string, data []byte, conf config) (*Tokenizer, error) {
	var file struct {
		AddedTokens   json.RawMessage `json:"added_tokens"`
		Normalizer    *component      `json:"normalizer"`
		PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
		PostProcessor *component      `json:"post_processor"`
		Model         *bpeModel       `json:"model"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	if file.Model == nil {
		return nil, fmt.Errorf("tokenizer: %s: has no model", name)
	}
	if file.Normalizer.kind() != "NFC" {
		return nil, fmt.Errorf("tokenizer: %s: normalizer %.100s, want NFC", name, file.Normalizer.kind())
	}
	if kind := file.PostProcessor.kind(); kind != "ByteLevel" && kind != "none" {
		return nil, fmt.Errorf("tokenizer: %s: post_processor %.100s, want ByteLevel", name, kind)
	}
	var words *preTokenizer
	var added []addedToken
	err := cmp.Or(
		part(file.PreTokenizer, "pre_tokenizer", maxPreTokenizerBytes, &words), words.check(), file.Model.check(),
		part(file.AddedTokens, "added_tokens", maxConfigBytes, &added))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	vocab, err := parseVocab(file.Model.Vocab)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: model.vocab: %w", name, err)
	}
	merges, err := parseMerges(file.Model.Merges)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: model.merges: %w", name, err)
	}
	t := &Tokenizer{name: name}
	if err := t.build(vocab, merges, conf.override(added), conf); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	if file.Model.handlesUnknown() && slices.Contains(t.bytes[:], absent) {
		return nil, fmt.Errorf("tokenizer: %s: model has unk_token or byte_fallback, and a vocabulary that lacks bytes, "+
			"want all 256", name)
	}
	return t, nil
}

// part parses text, the value of key what in tokenizer.json, into *into. If the key is missing, text is nil and *into
// stays as it is.
func part[T any](text json.RawMessage, what string, limit int, into *T) error {
	if len(text) > limit {
		return fmt.Errorf("%s of %d bytes, want at most %d", what, len(text), limit)
	}
	if text == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// component is a part of tokenizer.json of which only the type is read.
type component struct {
	Type string `json:"type"`
}

func (c *component) kind() string {
	if c == nil {
		return "none"
	}
	return c.Type
}

// preTokenizer is the pre_tokenizer of tokenizer.json, or a part of it.
type preTokenizer struct {
	Type string `json:"type"`

	// Field of a Sequence.
	Parts []preTokenizer `json:"pretokenizers"`

	// Fields of a Split.
	Pattern  struct{ Regex string }
	Behavior string
	Invert   bool

	// Fields of a ByteLevel. A missing use_regex means true in the reference.
	AddPrefixSpace bool  `json:"add_prefix_space"`
	UseRegex       *bool `json:"use_regex"`
}

// check returns an error unless p is Qwen2's sequence of two parts: a Split by the pattern that wordLen implements, and
// a ByteLevel without a pattern of its own.
func (p *preTokenizer) check() error {
	if p == nil {
		return errors.New("pre_tokenizer is missing, want Sequence")
	}
	if p.Type != "Sequence" || len(p.Parts) != 2 || p.Parts[0].Type != "Split" || p.Parts[1].Type != "ByteLevel" {
		found := p.Type
		for _, part := range p.Parts[:min(len(p.Parts), 5)] {
			found += " " + part.Type
		}
		return fmt.Errorf("pre_tokenizer %.200q, want Sequence Split ByteLevel", found)
	}
	split, byteLevel := p.Parts[0], p.Parts[1]
	switch {
	case split.Pattern.Regex != qwen2Pattern:
		return fmt.Errorf("pre_tokenizer Split pattern %.200q, want that of Qwen2: %q",
			split.Pattern.Regex, qwen2Pattern)
	case split.Behavior != "Isolated" || split.Invert:
		return fmt.Errorf("pre_tokenizer Split behavior %.200q, invert %t, want Isolated, false",
			split.Behavior, split.Invert)
	case byteLevel.AddPrefixSpace:
		return errors.New("pre_tokenizer ByteLevel add_prefix_space true, want false")
	case byteLevel.UseRegex == nil || *byteLevel.UseRegex:
		return errors.New("pre_tokenizer ByteLevel use_regex true, want false")
	}
	return nil
}

// bpeModel is the model of tokenizer.json.
type bpeModel struct {
	Type         string          `json:"type"`
	Dropout      float64         `json:"dropout"`
	UnkToken     string          `json:"unk_token"`
	Prefix       string          `json:"continuing_subword_prefix"`
	Suffix       string          `json:"end_of_word_suffix"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
	Vocab        json.RawMessage `json:"vocab"`
	Merges       json.RawMessage `json:"merges"`
}

func (m *bpeModel) check() error {
	switch {
	case m.Type != "BPE":
		return fmt.Errorf("model type %.200q, want BPE", m.Type)
	case m.Dropout != 0:
		return fmt.Errorf("model dropout %g, want none", m.Dropout)
	case m.Prefix != "":
		return fmt.Errorf("model continuing_subword_prefix %.200q, want none", m.Prefix)
	case m.Suffix != "":
		return fmt.Errorf("model end_of_word_suffix %.200q, want none", m.Suffix)
	case m.IgnoreMerges:
		return errors.New("model ignore_merges true, want false")
	}
	return nil
}

// handlesUnknown reports whether the model has a rule for bytes without a token, which this package drops.
func (m *bpeModel) handlesUnknown() bool { return m.UnkToken != "" || m.ByteFallback }

// parsePair parses the data of vocab.json and merges.txt, for which transformers uses the same stages as a Qwen2
// tokenizer.json lists. Special tokens come from conf and from added_tokens.json in fsys. Errors call fsys dir.
func parsePair(fsys fs.FS, dir string, vocabData, mergesData []byte, conf config) (*Tokenizer, error) {
	t := &Tokenizer{name: dir}
	vocab, err := parseVocabFile(filepath.Join(dir, "vocab.json"), vocabData)
	if err != nil {
		return nil, err
	}
	var merges [][2]string
	number := 0
	for line := range strings.Lines(string(mergesData)) {
		number++
		if line = strings.TrimRight(line, "\r\n"); line == "" || strings.HasPrefix(line, "#version") {
			continue
		}
		pair, err := splitMerge(line)
		if err != nil {
			return nil, fmt.Errorf("tokenizer: %s: line %d: %w", filepath.Join(dir, "merges.txt"), number, err)
		}
		if merges = append(merges, pair); len(merges) > maxMerges {
			return nil, fmt.Errorf("tokenizer: %s: more than %d merges", filepath.Join(dir, "merges.txt"), maxMerges)
		}
	}
	added, err := readAdded(fsys, dir)
	if err != nil {
		return nil, err
	}
	if err := t.build(vocab, merges, conf.override(added), conf); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: vocab.json, merges.txt: %w", dir, err)
	}
	return t, nil
}

// readAdded reads added_tokens.json, {"token": id, …}. A missing file gives no tokens.
func readAdded(fsys fs.FS, dir string) ([]addedToken, error) {
	name := filepath.Join(dir, "added_tokens.json")
	data, err := readFile(fsys, "added_tokens.json", name, maxConfigBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := parseVocabFile(name, data)
	if err != nil {
		return nil, err
	}
	var added []addedToken
	for _, e := range entries {
		added = append(added, addedToken{ID: e.id, Content: e.token})
	}
	return added, nil
}

// parseVocabFile parses data, a file that holds only {"token": id, …}. Errors call it name.
func parseVocabFile(name string, data []byte) ([]entry, error) {
	var valid json.RawMessage // parseVocab requires valid JSON
	if err := json.Unmarshal(data, &valid); err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	vocab, err := parseVocab(valid)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %s: %w", name, err)
	}
	return vocab, nil
}
