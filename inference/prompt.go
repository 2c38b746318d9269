package inference

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxPromptBytes is the largest size of a prompt. The model reads 512 tokens, which seldom take more than 4 KB. A much
// longer prompt is a mistake, and the window and the queue keep prompts by the hundred.
const MaxPromptBytes = 64 << 10

// ParsePrompt returns the prompt in text. All faces use it, so that the rules for prompts are the same everywhere: a
// prompt is UTF-8 and has at most MaxPromptBytes. A byte order mark at the start is removed, and the line ends "\r\n"
// and "\r" become "\n". Text in another encoding is refused, because the model would draw garbage from it. The error is
// a FieldError that says what was found and where.
func ParsePrompt(text string) (string, error) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return "", FieldError{FieldPrompt, "UTF-16 text", "UTF-8"}
	}
	text = strings.TrimPrefix(text, "\uFEFF")
	if len(text) > MaxPromptBytes {
		got := fmt.Sprintf("%d bytes", len(text))
		return "", FieldError{FieldPrompt, got, fmt.Sprintf("at most %d", MaxPromptBytes)}
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return "", FieldError{FieldPrompt, fmt.Sprintf("a NUL at byte %d", i), "UTF-8 text"}
	}
	if !utf8.ValidString(text) {
		i := firstInvalid(text)
		return "", FieldError{FieldPrompt, fmt.Sprintf("byte 0x%02x at byte %d", text[i], i), "UTF-8 text"}
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.ReplaceAll(text, "\r", "\n"), nil
}

// firstInvalid returns the index of the first byte of text that is not UTF-8. There has to be one.
func firstInvalid(text string) int {
	for i, r := range text {
		if r != utf8.RuneError {
			continue
		}
		if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
			return i
		}
	}
	return len(text) - 1
}
