package tokenizer

import (
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is an entry of added_tokens in tokenizer.json: a token that is cut out of the text before the text is
// split into words.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // matches only if no word character (isWord) is next to it
	LStrip     bool   `json:"lstrip"`      // includes the white space before it
	RStrip     bool   `json:"rstrip"`      // includes the white space after it
	Normalized bool   `json:"normalized"`  // matches in the normalised text, not in the text as given
}

// matcher finds added tokens in a text. tokens are sorted by content, so that all tokens with a common prefix are
// adjacent. The tokens with first byte c are tokens[begin[c]:begin[c+1]].
type matcher struct {
	tokens []addedToken
	begin  [257]int
}

func newMatcher(tokens []addedToken) (m matcher) {
	m.tokens = slices.SortedStableFunc(slices.Values(tokens), func(a, b addedToken) int {
		return strings.Compare(a.Content, b.Content)
	})
	for c := range m.begin {
		m.begin[c] = sort.Search(len(m.tokens), func(i int) bool { return int(m.tokens[i].Content[0]) >= c })
	}
	return m
}

// split calls yield for every part of text in order: an added token with its id, or the text between tokens with id
// absent. Of several matches split takes the leftmost, and of these the longest. A match that SingleWord rejects is
// skipped whole: no other token is searched for inside it.
func (m *matcher) split(text string, yield func(part string, id int32)) {
	done := 0                          // text[:done] has been yielded
	var space struct{ begin, end int } // the white space after the last token with RStrip
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
			trimmed := min(done, start) + len(strings.TrimRightFunc(text[min(done, start):start], unicode.IsSpace))
			start = min(max(done, trimmed), stop) // done > stop if the RStrip of a token before included this whole token
		}
		if token.RStrip {
			if stop < space.begin || stop >= space.end { // so that each run of white space is scanned once
				space.begin, space.end = stop, len(text)-len(strings.TrimLeftFunc(text[stop:], unicode.IsSpace))
			}
			stop = max(stop, space.end)
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

// at returns the longest token at the beginning of text, which must not be empty.
func (m *matcher) at(text string) (token addedToken, found bool) {
	low, high := m.begin[text[0]], m.begin[int(text[0])+1]
	for n := 1; low < high; n++ {
		// All of tokens[low:high] begin with text[:n]. The first of them may be text[:n].
		if len(m.tokens[low].Content) == n {
			token, found = m.tokens[low], true
			for low < high && len(m.tokens[low].Content) == n { // normalisation can make two tokens equal
				low++
			}
		}
		if n == len(text) {
			break
		}
		if low < high && m.tokens[low].Content[n] == text[n] && m.tokens[high-1].Content[n] == text[n] {
			continue // all tokens between also begin with text[:n+1]
		}
		of := func(i int) byte { return m.tokens[low+i].Content[n] }
		first := sort.Search(high-low, func(i int) bool { return of(i) >= text[n] })
		last := sort.Search(high-low, func(i int) bool { return of(i) > text[n] })
		low, high = low+first, low+last
	}
	return token, found
}

func endsInWord(s string) bool {
	r, n := utf8.DecodeLastRuneInString(s)
	return n > 0 && isWord(r)
}

func startsInWord(s string) bool {
	r, n := utf8.DecodeRuneInString(s)
	return n > 0 && isWord(r)
}

// isWord reports whether r is in \w of Unicode regular expressions (UTS #18, annex C).
func isWord(r rune) bool {
	return isLetter(r) || r == 0x200c || r == 0x200d ||
		unicode.In(r, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc)
}
