package tokenizer

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is cut out of the text before words are formed, as tokenizer.json's added_tokens describe it.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no letter, digit, mark or underscore touches it
	LStrip     bool   `json:"lstrip"`      // takes the white space before it
	RStrip     bool   `json:"rstrip"`      // takes the white space after it
	Normalized bool   `json:"normalized"`  // looked for after normalisation instead of before
}

// matcher finds added tokens: by first byte, the longest first.
type matcher [256][]addedToken

func newMatcher(tokens []addedToken) (m matcher) {
	for _, t := range tokens {
		m[t.Content[0]] = append(m[t.Content[0]], t)
	}
	for _, same := range m {
		slices.SortFunc(same, func(a, b addedToken) int { return cmp.Compare(len(b.Content), len(a.Content)) })
	}
	return m
}

// split calls yield for every part of text in order: an added token with its id, or the text between with id absent. Matches are
// the leftmost, of these the longest, and do not overlap; a match that its single_word flag rejects is skipped as a whole.
func (m *matcher) split(text string, yield func(part string, id int32)) {
	done := 0
	for i := 0; i < len(text); {
		token, ok := m.at(text[i:])
		if !ok {
			i++
			continue
		}
		start, stop := i, i+len(token.Content)
		i = stop
		if token.SingleWord && (endsInWord(text[:start]) || startsInWord(text[stop:])) {
			continue
		}
		if token.LStrip {
			start = max(done, len(strings.TrimRightFunc(text[:start], unicode.IsSpace)))
		}
		if token.RStrip {
			stop = len(text) - len(strings.TrimLeftFunc(text[stop:], unicode.IsSpace))
		}
		if done < start {
			yield(text[done:start], absent)
		}
		yield(text[start:stop], token.ID)
		done = stop
	}
	if done < len(text) {
		yield(text[done:], absent)
	}
}

func (m *matcher) at(text string) (addedToken, bool) {
	for _, t := range m[text[0]] {
		if strings.HasPrefix(text, t.Content) {
			return t, true
		}
	}
	return addedToken{}, false
}

func endsInWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func startsInWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}

// isWord is \w of Unicode's regular expressions (UTS #18, annex C).
func isWord(r rune) bool {
	return isLetter(r) || r == 0x200c || r == 0x200d ||
		unicode.In(r, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc)
}
