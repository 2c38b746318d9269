package tokenizer

import "unicode/utf8"

// merge joins the tokens left and right into id.
type merge struct{ left, right, id int32 }

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// symbol is a token of a word that is being merged. prev and next are the indices of its neighbours. The right symbol
// of a merge gets the id absent.
type symbol struct{ id, prev, next int32 }

// appendWord appends the ids of one word. It starts with the tokens of the word's bytes and merges the adjacent pair of
// the lowest rank, the leftmost of equal ones, until no pair has a merge. A priority queue holds the candidates, so
// that a word of n bytes takes O(n·log n) steps. A merge leaves outdated candidates in the queue; they are skipped,
// since their symbols no longer are the pair of their rank.
func (t *Tokenizer) appendWord(ids []int32, word string) []int32 {
	symbols := make([]symbol, 0, 64)
	for i := range len(word) {
		if id := t.bytes[word[i]]; id != absent {
			n := int32(len(symbols))
			symbols = append(symbols, symbol{id, n - 1, n + 1})
		}
	}
	end := int32(len(symbols))
	queue := make(queue, 0, 64)
	push := func(left int32) {
		if left < 0 || symbols[left].next == end {
			return
		}
		if rank, ok := t.rank[pairKey(symbols[left].id, symbols[symbols[left].next].id)]; ok {
			queue.push(uint64(rank)<<32 | uint64(left))
		}
	}
	for i := range end {
		push(i)
	}
	for len(queue) > 0 {
		candidate := queue.pop()
		m, at := t.merges[candidate>>32], int32(uint32(candidate))
		left := &symbols[at]
		if left.id != m.left || left.next == end || symbols[left.next].id != m.right {
			continue
		}
		right := &symbols[left.next]
		left.id, left.next = m.id, right.next
		right.id = absent
		if left.next != end {
			symbols[left.next].prev = at
		}
		push(left.prev)
		push(at)
	}
	for i := int32(0); i < end; i = symbols[i].next {
		ids = append(ids, symbols[i].id)
	}
	return ids
}

// queue is a binary heap of candidates, rank<<32 | index of the left symbol. Its smallest value has the lowest rank,
// and of equal ranks the leftmost position.
type queue []uint64

func (q *queue) push(v uint64) {
	h := append(*q, v)
	i := len(h) - 1
	for i > 0 && v < h[(i-1)/2] {
		h[i] = h[(i-1)/2]
		i = (i - 1) / 2
	}
	h[i] = v
	*q = h
}

func (q *queue) pop() uint64 {
	h := *q
	top, v := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	*q = h
	for i := 0; len(h) > 0; {
		child := 2*i + 1
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if child >= len(h) || v <= h[child] {
			h[i] = v
			break
		}
		h[i] = h[child]
		i = child
	}
	return top
}

// byteRunes holds the printable character that byte-level vocabularies write for each byte, and runeBytes the inverse.
// A printable Latin-1 byte is its own character; the others are numbered from U+0100 (bytes_to_unicode of GPT-2).
var byteRunes, runeBytes = func() (runes [256]rune, bytes map[rune]byte) {
	bytes = make(map[rune]byte, 256)
	next := rune(0x100)
	for b := range runes {
		r := rune(b)
		if !(b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae && b <= 0xff) {
			r = next
			next++
		}
		runes[b], bytes[r] = r, byte(b)
	}
	return runes, bytes
}()

// spelledBytes returns the bytes that a vocabulary entry spells with byteRunes. An entry with another character spells
// its own UTF-8 bytes.
func spelledBytes(entry string) string {
	out := make([]byte, 0, utf8.RuneCountInString(entry))
	for _, r := range entry {
		b, ok := runeBytes[r]
		if !ok {
			return entry
		}
		out = append(out, b)
	}
	return string(out)
}
