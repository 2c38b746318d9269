package ptx

import "strings"

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenNumber
	tokenString
	tokenMark // one character of punctuation
)

type token struct {
	kind       tokenKind
	text       string
	line       int
	start, end int // byte offsets in the text
}

func isWordStart(c byte) bool {
	return c == '%' || c == '$' || c == '_' || c == '.' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// lex splits the text into tokens. A word includes dots and "::", so that an opcode with its modifiers, a directive or
// a special register is one token.
func lex(src string) ([]token, error) {
	tokens := make([]token, 0, len(src)/5)
	line := 1
	for i := 0; i < len(src); {
		c := src[i]
		start := i
		switch {
		case c == '\n':
			line++
			i++
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case strings.HasPrefix(src[i:], "//"):
			n := strings.IndexByte(src[i:], '\n')
			if n < 0 {
				n = len(src) - i
			}
			i += n
		case strings.HasPrefix(src[i:], "/*"):
			n := strings.Index(src[i+2:], "*/")
			if n < 0 {
				return nil, &SyntaxError{line, "comment without end"}
			}
			line += strings.Count(src[i:i+2+n], "\n")
			i += n + 4
		case c == '"':
			n := strings.IndexAny(src[i+1:], "\"\n")
			if n < 0 || src[i+1+n] == '\n' {
				return nil, &SyntaxError{line, "string without end"}
			}
			i += n + 2
			tokens = append(tokens, token{tokenString, src[start+1 : i-1], line, start, i})
		case isDigit(c):
			for i < len(src) && (isDigit(src[i]) || src[i] == '.' || src[i] == '_' ||
				isWordStart(src[i]) && src[i] != '%' && src[i] != '$') {
				i++
			}
			tokens = append(tokens, token{tokenNumber, src[start:i], line, start, i})
		case isWordStart(c):
			for i < len(src) {
				if isWordStart(src[i]) || isDigit(src[i]) {
					i++
				} else if strings.HasPrefix(src[i:], "::") && i+2 < len(src) && (isWordStart(src[i+2]) || isDigit(src[i+2])) {
					i += 2
				} else {
					break
				}
			}
			tokens = append(tokens, token{tokenWord, src[start:i], line, start, i})
		case strings.IndexByte(",;:{}[]()<>=@!+-|", c) >= 0:
			i++
			tokens = append(tokens, token{tokenMark, src[start:i], line, start, i})
		default:
			return nil, &SyntaxError{line, "character " + quote(string(c))}
		}
	}
	return append(tokens, token{tokenEnd, "end of text", line, len(src), len(src)}), nil
}

// quote quotes the beginning of text for an error.
func quote(s string) string {
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return "\"" + s + "\""
}
