package studio

import "github.com/kleinbild/kleinbild/inference"

// Workspace is the desk that the artist works at, with its undo and redo. Whoever changes something of the desk does it
// here; a widget that shows something of it subscribes to Laid. A subscriber that changes the desk in answer to a
// signal does so by Amend: a choice of its own would be one more step, which undo would make again.
type Workspace struct {
	Changed    Signal      // the desk may have changed, by typing or by a choice
	Chosen     Signal      // the same, but not told if it was changed by typing alone
	Laid       Event[Desk] // the whole desk was replaced: every widget is to show its part of the new one
	Renumbered Signal      // the pictures in the prompt have other numbers; told before Chosen
	Settling   Signal      // what is under way, such as a drag, is to become a step now; told before Undo and Redo

	desk  Desk
	past  UndoHistory
	steps int // counts what was done, undone and redone
	held  int // calls of Do and Amend under way: while it is not 0, changes are neither recorded nor told one by one
}

// Desk returns the desk as it is.
func (w *Workspace) Desk() Desk { return w.desk }

// Steps counts what was done, undone and redone so far.
func (w *Workspace) Steps() int { return w.steps }

// Type changes what is typed. That is no step, because text boxes have an undo of their own. The next step remembers
// the text beside what it changes itself.
func (w *Workspace) Type(do func(*Desk)) {
	do(&w.desk)
	if w.held == 0 {
		w.Changed.tell()
	}
}

// Choose changes what is chosen. If the choice differs from the one before, that is a step.
func (w *Workspace) Choose(do func(*Desk)) {
	before := w.desk
	do(&w.desk)
	w.desk.dropEach()
	if w.held == 0 && !w.desk.SameChoices(before) {
		step := Step{Desk: before, TextsStay: true}
		if w.desk.Edit.Margins() != before.Edit.Margins() { // they left with image 1
			step.Undo, step.Redo = w.grown(before.Edit), w.grown(w.desk.Edit)
		}
		w.record(step)
	}
	w.told()
}

// grown returns what gives the desk the margins of an edit, and leaves all else that is typed.
func (w *Workspace) grown(to Edit) func() {
	return func() {
		d := w.desk
		d.Edit.Left, d.Edit.Top, d.Edit.Right, d.Edit.Bottom = to.Left, to.Top, to.Right, to.Bottom
		w.Lay(d)
	}
}

// Extend changes by how much image 1 grows, as a step. Margins are texts, but undo takes back only them: it leaves what
// was typed since.
func (w *Workspace) Extend(m inference.Margins) {
	before := w.desk
	w.desk.Edit.SetMargins(m)
	if w.held == 0 && !w.desk.Same(before) {
		w.record(Step{
			Desk: before, TextsStay: true, ChoicesStay: true, Undo: w.grown(before.Edit), Redo: w.grown(w.desk.Edit),
		})
	}
	w.told()
}

// Change calls do, which may change the desk in several ways. Undo takes all of them back in one step. Change says
// whether the desk has changed.
func (w *Workspace) Change(do func()) bool { return w.Do(Step{}, do) }

// Do is Change for a step that changes more than the desk.
func (w *Workspace) Do(step Step, do func()) bool {
	if w.held > 0 { // this is part of the step that is under way
		do()
		return false
	}
	step.Desk = w.desk
	w.Amend(do)
	if step.Undo == nil && w.desk.Same(step.Desk) {
		return false
	}
	step.TextsStay, step.ChoicesStay = w.desk.SameTexts(step.Desk), w.desk.SameChoices(step.Desk)
	w.record(step)
	return true
}

// Amend changes the desk without a step of its own.
func (w *Workspace) Amend(do func()) {
	w.held++
	do()
	w.held--
	w.told()
}

// Lay replaces the whole desk. That is no step by itself. A picture that keeps its place, or the mask, is not
// read again.
func (w *Workspace) Lay(d Desk) {
	w.Amend(func() {
		d.Slots, d.Edit = w.desk.withRead(d.Slots), w.desk.withMask(d.Edit)
		d.dropEach()
		w.desk = d
		w.Laid.tell(d)
	})
}

// Settle has what is under way become a step.
func (w *Workspace) Settle() { w.Settling.tell() }

// Undo takes the last step back, Redo does it again. What is under way becomes a step first.
func (w *Workspace) Undo() { w.turn(w.past.Undo, func(s Step) func() { return s.Undo }) }
func (w *Workspace) Redo() { w.turn(w.past.Redo, func(s Step) func() { return s.Redo }) }

func (w *Workspace) turn(take func(Desk) (Step, bool), more func(Step) func()) {
	w.Settle()
	present := w.desk
	step, ok := take(present)
	if !ok {
		return
	}
	w.steps++
	w.Lay(step.Show(present))
	if do := more(step); do != nil {
		do()
	}
}

func (w *Workspace) record(s Step) {
	w.past.Do(s)
	w.steps++
}

// told tells the subscribers of a change, unless a step is under way that is told as a whole.
func (w *Workspace) told() {
	if w.held == 0 {
		w.Changed.tell()
		w.Chosen.tell()
	}
}
