package studio

import (
	"regexp"
	"slices"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// A prompt names the pictures of the desk by their slots, as "image 2". The model was trained with these English words,
// so no others are taken for a name, whatever language the prompt is in.

// mention matches the name of a picture. Scripts without spaces, such as Chinese, may write before and after it.
var mention = regexp.MustCompile(`(?i)\bimage (0|[1-9][0-9]{0,5})\b`)

// mentions returns where the numbers of pictures lie in a prompt, and the numbers.
func mentions(prompt string) (at [][2]int, numbers []int) {
	for _, m := range mention.FindAllStringSubmatchIndex(prompt, -1) {
		if before, _ := utf8.DecodeLastRuneInString(prompt[:m[0]]); unicode.Is(unicode.Latin, before) {
			continue // the end of another word
		}
		number, _ := strconv.Atoi(prompt[m[2]:m[3]]) // at most six digits
		at, numbers = append(at, [2]int{m[2], m[3]}), append(numbers, number)
	}
	return at, numbers
}

// renumbered returns a prompt in which picture n has the number to(n).
func renumbered(prompt string, to func(n int) int) string {
	at, numbers := mentions(prompt)
	for i, place := range slices.Backward(at) {
		prompt = prompt[:place[0]] + strconv.Itoa(to(numbers[i])) + prompt[place[1]:]
	}
	return prompt
}

// Missing returns the numbers that the prompt names and at which the desk has no picture, in ascending order.
func (d Desk) Missing() (list []int) {
	_, numbers := mentions(d.Prompt)
	for _, n := range numbers {
		if n < 1 || n > len(d.Slots) {
			list = append(list, n)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// SwapSlots exchanges the pictures of two slots, and their numbers in the prompt.
func (w *Workspace) SwapSlots(a, b int) {
	swap := func(n int) int {
		switch n {
		case a:
			return b
		case b:
			return a
		}
		return n
	}
	w.rearrange(swap, swap, func(d *Desk) { d.Swap(a, b) })
}

// EmptySlot takes the picture out of a slot. Those after it move up, and so do their numbers in the prompt. Where the
// prompt names the picture that left, it names the last slot that was taken, which is empty then.
func (w *Workspace) EmptySlot(number int) {
	last := len(w.desk.Slots)
	up := func(n int) int {
		switch {
		case n == number:
			return last
		case n > number && n <= last:
			return n - 1
		}
		return n
	}
	down := func(n int) int {
		switch {
		case n == last:
			return number
		case n >= number && n < last:
			return n + 1
		}
		return n
	}
	w.rearrange(up, down, func(d *Desk) { d.Empty(number) })
}

// EmptySlots takes all pictures off the desk. The prompt stays as it is.
func (w *Workspace) EmptySlots() { w.Choose((*Desk).EmptyAll) }

// rearrange changes the slots so that picture n of the prompt becomes picture to(n), which back takes back. It is one
// step. Its undo renumbers the prompt as it is then, so that what was typed since stays.
func (w *Workspace) rearrange(to, back func(n int) int, do func(*Desk)) {
	before := w.desk
	renumber := func(by func(n int) int) {
		w.desk.Prompt = renumbered(w.desk.Prompt, by)
		w.Renumbered.tell()
	}
	do(&w.desk)
	w.desk.dropEach()
	renumber(to)
	shrink, grow := func() {}, func() {}
	if w.desk.Edit.Margins() != before.Edit.Margins() { // they left with image 1
		shrink, grow = w.grown(w.desk.Edit), w.grown(before.Edit)
	}
	if w.held == 0 && !w.desk.Same(before) {
		w.record(Step{
			Desk: before, TextsStay: true,
			Undo: func() { w.Amend(func() { renumber(back); grow() }) },
			Redo: func() { w.Amend(func() { renumber(to); shrink() }) },
		})
	}
	w.told()
}
