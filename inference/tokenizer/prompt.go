package tokenizer

import (
	"fmt"
	"strings"
)

// The chat template of Qwen3 for one message of a user with thinking off. The reference puts the prompt in as it is: nothing is
// trimmed, and special tokens written in it stay special.
const (
	templateHead = "<|im_start|>user\n"
	templateTail = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)

// templateTokens are what the vocabulary must hold for the template to mean anything.
var templateTokens = []string{"<|im_start|>", "<|im_end|>", "<think>", "</think>"}

// endOfText pads where tokenizer_config.json names no pad_token.
const endOfText = "<|endoftext|>"

// Encoding is a prompt as the text encoder takes it.
type Encoding struct {
	IDs   []int32 // exactly maxLength ids, padded at the end
	Count int     // ids that are not padding: attend to IDs[:Count]
	Total int     // ids before truncation; more than Count means that the prompt was too long
	Cut   string  // the end of the prompt that was cut off, without the template around it; normalised
}

// Truncated reports whether anything was cut off, be it only the end of the template.
func (e Encoding) Truncated() bool { return e.Total > e.Count }

// Prompt puts the chat template around prompt (which may be empty) and returns exactly maxLength ids: cut off at the end where there
// are more, padded with the padding token where there are fewer. It follows Flux2KleinPipeline._get_qwen3_prompt_embeds, whose
// maxLength is 512. A vocabulary that lacks a token of the template or the padding token is an error.
func (t *Tokenizer) Prompt(prompt string, maxLength int) (Encoding, error) {
	if maxLength < 1 || maxLength > maxPromptLength {
		return Encoding{}, fmt.Errorf("tokenizer: maximum length %d, want 1 to %d", maxLength, maxPromptLength)
	}
	for _, token := range append([]string{t.pad}, templateTokens...) {
		if _, ok := t.added[token]; !ok {
			return Encoding{}, fmt.Errorf("tokenizer: %s: no special token %.100s, which the chat template of Qwen3 needs", t.name, token)
		}
	}
	ids := t.Encode(templateHead + prompt + templateTail)
	e := Encoding{IDs: make([]int32, maxLength), Total: len(ids)}
	e.Count = copy(e.IDs, ids)
	for i := e.Count; i < maxLength; i++ {
		e.IDs[i] = t.added[t.pad]
	}
	if e.Truncated() {
		// Where the cut falls into the template's tail, nothing of the prompt is lost.
		e.Cut, _ = strings.CutSuffix(t.Decode(ids[e.Count:]), templateTail)
		if strings.HasSuffix(templateTail, e.Cut) {
			e.Cut = ""
		}
	}
	return e, nil
}
