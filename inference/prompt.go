package inference

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxPromptBytes bounds a prompt. The model reads 512 tokens, seldom more than 4 KB; what is far beyond is a mistake, and
// windows and queues keep prompts by the hundred.
const MaxPromptBytes = 64 << 10

// ParsePrompt returns the prompt in text. It is the one rule for prompts, wherever they come from: UTF-8, at most
// MaxPromptBytes, without a byte order mark at the start, with "\n" for the line ends "\r\n" and "\r". Text in another
// encoding is refused, and the error says what was found and where: the model would draw garbage from it.
func ParsePrompt(text string) (string, error) {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		return "", fmt.Errorf("prompt: found UTF-16 text, want UTF-8")
	}
	text = strings.TrimPrefix(text, "\uFEFF")
	if len(text) > MaxPromptBytes {
		return "", fmt.Errorf("prompt: found %d bytes, want at most %d", len(text), MaxPromptBytes)
	}
	if i := strings.IndexByte(text, 0); i >= 0 {
		return "", fmt.Errorf("prompt: found a NUL at byte %d, want UTF-8 text", i)
	}
	for i, r := range text {
		if r != utf8.RuneError {
			continue
		}
		if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
			return "", fmt.Errorf("prompt: found byte 0x%02x at byte %d, want UTF-8 text", text[i], i)
		}
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.ReplaceAll(text, "\r", "\n"), nil
}
