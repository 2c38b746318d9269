package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// qwen2Pattern is the pattern in Qwen2's tokenizer.json that splits a text into words. wordLen implements it.
const qwen2Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*` +
	`|\s*[\r\n]+|\s+(?!\S)|\s+`

// class is the set of characters in qwen2Pattern to which a character belongs.
type class uint8

const (
	other   class = iota // [^\s\p{L}\p{N}]
	letter               // \p{L}
	number               // \p{N}
	newline              // [\r\n]
	space                // any other \s
	end                  // no character: the end of the text
)

// classOf returns the class and the length in bytes of the first character of s.
func classOf(s string) (class, int) {
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case n == 0:
		return end, 0
	case r == '\r' || r == '\n':
		return newline, n
	case isLetter(r):
		return letter, n
	case isNumber(r):
		return number, n
	case unicode.IsSpace(r):
		return space, n
	}
	return other, n
}

// wordLen returns the length in bytes of the first match of qwen2Pattern in s, which must be valid UTF-8 and not empty.
// The match always begins at the start of s, since a character of any class begins a match of some alternative.
func wordLen(s string) int {
	if n := contractionLen(s); n > 0 { // (?i:'s|'t|'re|'ve|'m|'ll|'d)
		return n
	}
	first, n := classOf(s)
	second, _ := classOf(s[n:])
	switch {
	case first == letter, second == letter && (first == other || first == space): // [^\r\n\p{L}\p{N}]?\p{L}+
		return n + runLen(s[n:], letter, letter)
	case first == number: // \p{N}
		return n
	case first == other, s[0] == ' ' && second == other: //  ?[^\s\p{L}\p{N}]+[\r\n]*
		n += runLen(s[n:], other, other)
		return n + runLen(s[n:], newline, newline)
	}

	// s begins with white space. The last three alternatives match parts of it.
	run := runLen(s, newline, space)
	for i := run; i > 0; i-- { // \s*[\r\n]+ matches up to the last line end
		if s[i-1] == '\r' || s[i-1] == '\n' {
			return i
		}
	}
	// \s+(?!\S) leaves the last space to the next word.
	if _, last := utf8.DecodeLastRuneInString(s[:run]); run < len(s) && last < run {
		return run - last
	}
	return run // \s+
}

// runLen returns the length in bytes of the characters at the beginning of s whose class is in [from, to].
func runLen(s string, from, to class) int {
	i := 0
	for {
		c, n := classOf(s[i:])
		if c < from || c > to {
			return i
		}
		i += n
	}
}

// contractionLen returns the length in bytes of the English contraction at the beginning of s, or 0. The pattern
// ignores case, so that 'ſ (U+017F), which folds to 's, matches too. No other letter of the contractions folds to a
// letter outside ASCII.
func contractionLen(s string) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	switch s[1] | 0x20 {
	case 's', 't', 'm', 'd':
		return 2
	case 'r', 'v':
		if len(s) > 2 && s[2]|0x20 == 'e' {
			return 3
		}
	case 'l':
		if len(s) > 2 && s[2]|0x20 == 'l' {
			return 3
		}
	}
	if r, n := utf8.DecodeRuneInString(s[1:]); r == 'ſ' {
		return 1 + n
	}
	return 0
}
