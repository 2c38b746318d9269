package tokenizer

import (
	"fmt"
	"strings"
)

// The parts of Qwen3's chat template before and after the prompt, for one message of the user with thinking off. The
// reference does not trim the prompt, and encodes special tokens that are written in it as such.
const (
	templateHead = "<|im_start|>user\n"
	templateTail = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)

// templateTokens are the special tokens of the template. Without them the template would be encoded as plain text.
var templateTokens = []string{"<|im_start|>", "<|im_end|>", "<think>", "</think>"}

// endOfText is the padding token if tokenizer_config.json has no pad_token.
const endOfText = "<|endoftext|>"

// Encoding is a prompt as input of the text encoder.
type Encoding struct {
	IDs   []int32 // maxLength ids; IDs[Count:] is padding
	Count int     // the number of ids that are not padding, which the attention mask keeps
	Total int     // the number of ids before truncation
	Cut   string  // the end of the prompt that was cut off, normalised and without the template
}

// Truncated reports whether ids were cut off, even if they belong only to the template.
func (e Encoding) Truncated() bool { return e.Total > e.Count }

// Prompt puts prompt, which may be empty, into the chat template and encodes it to exactly maxLength ids: it cuts off
// the end if there are more, and appends padding tokens if there are fewer. It follows _get_qwen3_prompt_embeds of
// Flux2KleinPipeline, whose maxLength is 512. It returns an error if the vocabulary lacks the padding token or a token
// of the template.
func (t *Tokenizer) Prompt(prompt string, maxLength int) (Encoding, error) {
	if maxLength < 1 || maxLength > maxPromptLength {
		return Encoding{}, fmt.Errorf("tokenizer: maximum length %d, want 1 to %d", maxLength, maxPromptLength)
	}
	for _, token := range append([]string{t.pad}, templateTokens...) {
		if _, ok := t.added[token]; !ok {
			return Encoding{}, fmt.Errorf("tokenizer: %s: no special token %.100s, which the chat template of Qwen3 needs",
				t.name, token)
		}
	}
	ids := t.Encode(templateHead + prompt + templateTail)
	e := Encoding{IDs: make([]int32, maxLength), Total: len(ids)}
	e.Count = copy(e.IDs, ids)
	for i := e.Count; i < maxLength; i++ {
		e.IDs[i] = t.added[t.pad]
	}
	if e.Truncated() {
		// If only a part of the template's tail was cut off, the prompt is complete.
		e.Cut, _ = strings.CutSuffix(t.Decode(ids[e.Count:]), templateTail)
		if strings.HasSuffix(templateTail, e.Cut) {
			e.Cut = ""
		}
	}
	return e, nil
}
