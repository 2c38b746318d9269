package tokenizer

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// The reference uses two versions of Unicode, and Go (15.0) a third: the reference's pattern matcher (Oniguruma) has
// the letters and numbers of Unicode 16, its normalizer the marks and compositions of Unicode 9. The tables below hold
// the differences from Go's. They were found by running the reference on every code point.

// isLetter reports whether r is in \p{L} of Unicode 16.
func isLetter(r rune) bool {
	return unicode.Is(unicode.L, r) || r >= 0x1c89 && unicode.Is(newLetters, r)
}

// isNumber reports whether r is in \p{N} of Unicode 16.
func isNumber(r rune) bool {
	return unicode.Is(unicode.N, r) || r >= 0x10d40 && unicode.Is(newNumbers, r)
}

// newLetters are the code points that joined \p{L} after Unicode 15.0.
var newLetters = &unicode.RangeTable{
	R16: []unicode.Range16{{0x1c89, 0x1c8a, 1}, {0xa7cb, 0xa7cd, 1}, {0xa7da, 0xa7dc, 1}},
	R32: []unicode.Range32{
		{0x105c0, 0x105f3, 1}, {0x10d4a, 0x10d65, 1}, {0x10d6f, 0x10d85, 1}, {0x10ec2, 0x10ec4, 1}, {0x11380, 0x11389, 1},
		{0x1138b, 0x1138b, 1}, {0x1138e, 0x1138e, 1}, {0x11390, 0x113b5, 1}, {0x113b7, 0x113b7, 1}, {0x113d1, 0x113d1, 1},
		{0x113d3, 0x113d3, 1}, {0x11bc0, 0x11be0, 1}, {0x13460, 0x143fa, 1}, {0x16100, 0x1611d, 1}, {0x16d40, 0x16d6c, 1},
		{0x18cff, 0x18cff, 1}, {0x1e5d0, 0x1e5ed, 1}, {0x1e5f0, 0x1e5f0, 1}, {0x2ebf0, 0x2ee5d, 1},
	},
}

// newNumbers are the code points that joined \p{N} after Unicode 15.0.
var newNumbers = &unicode.RangeTable{R32: []unicode.Range32{
	{0x10d40, 0x10d49, 1}, {0x116d0, 0x116e3, 1}, {0x11bf0, 0x11bf9, 1}, {0x16130, 0x16139, 1}, {0x16d70, 0x16d79, 1},
	{0x1ccf0, 0x1ccf9, 1}, {0x1e5f1, 0x1e5fa, 1},
}}

// newMarks are the combining marks that were added after Unicode 9. The reference's normalizer treats them like
// letters.
var newMarks = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x07fd, 0x07fd, 1}, {0x0898, 0x089f, 1}, {0x08ca, 0x08d3, 1}, {0x09fe, 0x09fe, 1}, {0x0c3c, 0x0c3c, 1},
		{0x0d3b, 0x0d3c, 1},
		{0x0eba, 0x0eba, 1}, {0x1715, 0x1715, 1}, {0x1abf, 0x1ace, 1}, {0x1df6, 0x1dfa, 1}, {0xa82c, 0xa82c, 1},
	},
	R32: []unicode.Range32{
		{0x10d24, 0x10d27, 1}, {0x10eab, 0x10eac, 1}, {0x10efd, 0x10eff, 1}, {0x10f46, 0x10f50, 1}, {0x10f82, 0x10f85, 1},
		{0x11070, 0x11070, 1}, {0x1133b, 0x1133b, 1}, {0x1145e, 0x1145e, 1}, {0x11839, 0x1183a, 1}, {0x1193d, 0x1193e, 1},
		{0x11943, 0x11943, 1}, {0x119e0, 0x119e0, 1}, {0x11a34, 0x11a34, 1}, {0x11a47, 0x11a47, 1}, {0x11a99, 0x11a99, 1},
		{0x11d42, 0x11d42, 1}, {0x11d44, 0x11d45, 1}, {0x11d97, 0x11d97, 1}, {0x11f41, 0x11f42, 1}, {0x16ff0, 0x16ff1, 1},
		{0x1e08f, 0x1e08f, 1}, {0x1e130, 0x1e136, 1}, {0x1e2ae, 0x1e2ae, 1}, {0x1e2ec, 0x1e2ef, 1}, {0x1e4ec, 0x1e4ef, 1},
	},
}

// newComposite is the only composite that was added between Unicode 9 and Go's version.
const newComposite = 0x11938

// nfc normalises s, valid UTF-8, to form C as the reference does: with the data of Unicode 9. Unlike Go's own
// implementation it inserts no joiner (U+034F) after 30 marks in a row.
func nfc(s string) string {
	if norm.NFC.IsNormalString(s) {
		return s
	}
	type char struct {
		r   rune
		ccc uint8 // canonical combining class; 0 for a starter
	}
	var chars []char
	var buf []byte
	for _, r := range s {
		if r < 0xc0 || r == newComposite || unicode.Is(newMarks, r) {
			chars = append(chars, char{r, 0})
			continue
		}
		buf = norm.NFD.AppendString(buf[:0], string(r))
		for _, d := range string(buf) {
			chars = append(chars, char{d, norm.NFD.PropertiesString(string(d)).CCC()})
		}
	}
	for i := 0; i < len(chars); {
		j := i + 1
		for j < len(chars) && chars[j].ccc != 0 {
			j++
		}
		slices.SortStableFunc(chars[i:j], func(a, b char) int { return int(a.ccc) - int(b.ccc) })
		i = j
	}

	var out strings.Builder
	out.Grow(len(s))
	for i := 0; i < len(chars); {
		// Compose one starter with the marks after it, and keep the marks that do not compose in left. A starter may
		// compose with the next starter only if no mark is left between them.
		starter, left := chars[i], chars[i+1:i+1]
		blocked := uint8(0)
		for i++; i < len(chars); i++ {
			c := chars[i]
			if len(left) == 0 || c.ccc > blocked {
				if r, ok := compose(starter.r, c.r); ok && starter.ccc == 0 {
					starter.r = r
					continue
				}
			}
			if c.ccc == 0 {
				break
			}
			left = append(left, c)
			blocked = c.ccc
		}
		out.WriteRune(starter.r)
		for _, c := range left {
			out.WriteRune(c.r)
		}
	}
	return out.String()
}

// compose returns the primary composite of a and b in Unicode 9, if there is one.
func compose(a, b rune) (rune, bool) {
	if b < 0x300 || unicode.Is(newMarks, b) || unicode.Is(newMarks, a) {
		return 0, false
	}
	joined := []rune(norm.NFC.String(string([]rune{a, b})))
	if len(joined) != 1 || joined[0] == newComposite {
		return 0, false
	}
	return joined[0], true
}
