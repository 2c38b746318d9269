package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// qwen2Pattern is the pre-tokenisation pattern that wordLen implements, as tokenizer.json spells it.
const qwen2Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// class sorts characters as qwen2Pattern does.
type class uint8

const (
	other   class = iota // [^\s\p{L}\p{N}]
	letter               // \p{L}
	number               // \p{N}
	newline              // [\r\n]
	space                // any other \s
	end                  // past the text
)

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

// wordLen is the length in bytes of the first match of qwen2Pattern in s, which is valid UTF-8 and not empty. The match always
// starts at the beginning of s: every character belongs to a class that some alternative takes.
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

	// White space: its whole run, cut according to what it holds and what follows.
	run := runLen(s, newline, space)
	for i := run; i > 0; i-- { // \s*[\r\n]+ gives back what follows the last line end
		if s[i-1] == '\r' || s[i-1] == '\n' {
			return i
		}
	}
	if _, last := utf8.DecodeLastRuneInString(s[:run]); run < len(s) && last < run { // \s+(?!\S) leaves one for the next word
		return run - last
	}
	return run // \s+
}

// runLen is the length in bytes of the characters of classes from … to that s starts with.
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

// contractionLen is the length of the English contraction that s starts with, or 0. Without regard to case also means 'ſ (U+017F),
// which folds to s; no other letter here has a partner outside ASCII.
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
