package tokenizer

import (
	"slices"
	"sort"
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

// matcher finds added tokens. They are sorted by their content, so that those that begin with the bytes seen so far are a
// part of the list; each further byte halves it. begin holds where the tokens of each first byte begin.
type matcher struct {
	tokens []addedToken
	begin  [257]int
}

func newMatcher(tokens []addedToken) (m matcher) {
	m.tokens = slices.SortedStableFunc(slices.Values(tokens), func(a, b addedToken) int { return strings.Compare(a.Content, b.Content) })
	for c := range m.begin {
		m.begin[c] = sort.Search(len(m.tokens), func(i int) bool { return int(m.tokens[i].Content[0]) >= c })
	}
	return m
}

// split calls yield for every part of text in order: an added token with its id, or the text between with id absent. Matches are
// the leftmost, of these the longest, and do not overlap; a match that its single_word flag rejects is skipped as a whole.
func (m *matcher) split(text string, yield func(part string, id int32)) {
	done := 0
	var space struct{ begin, end int } // the run of white space behind the last token with rstrip
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
			start = min(max(done, trimmed), stop) // an rstrip before may have taken all of this token
		}
		if token.RStrip {
			if stop < space.begin || stop >= space.end { // each run of white space is looked through once
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

// at returns the longest token that text, which is not empty, begins with.
func (m *matcher) at(text string) (token addedToken, found bool) {
	low, high := m.begin[text[0]], m.begin[int(text[0])+1]
	for n := 1; low < high; n++ {
		// The tokens from low to high begin with text[:n]; the first of them may be no longer than that.
		if len(m.tokens[low].Content) == n {
			token, found = m.tokens[low], true
			for low < high && len(m.tokens[low].Content) == n { // two tokens that normalisation made equal
				low++
			}
		}
		if n == len(text) {
			break
		}
		if low < high && m.tokens[low].Content[n] == text[n] && m.tokens[high-1].Content[n] == text[n] {
			continue // as do all between
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

// isWord is \w of Unicode's regular expressions (UTS #18, annex C).
func isWord(r rune) bool {
	return isLetter(r) || r == 0x200c || r == 0x200d ||
		unicode.In(r, unicode.Nl, unicode.Other_Alphabetic, unicode.M, unicode.Nd, unicode.Pc)
}
