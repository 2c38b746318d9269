package app

import (
	"fmt"
	"image"
	"slices"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// promptPanel is the prompt with Generate beside it, and one quiet line under it. While a picture is made, the button
// adds to the queue. Cancel appears at a place where nothing was before, so that a second click on Generate cancels
// nothing.
type promptPanel struct {
	common
	host     promptHost
	entry    *promptEntry
	mentions *mentionList // over the window
	generate *ui.Button
	progress *ui.ProgressLine
	missing  *ui.Label // pictures that the prompt names and that are not there
	tags     *ui.Label // adapters that the prompt names
	workflow *ui.Label
	tokens   *ui.Label
	estimate *ui.Label
	kept     *ui.Label // what of image 1 stays as it is
	cancel   *ui.Button
	images   [inference.MaxReferences]*ui.Button
	earlier  *ui.Button
	content  *fyne.Container
	ground   *ui.Box

	counting *time.Timer // counts tokens once typing pauses
	recalled int         // which earlier prompt is shown, 1 for the newest; 0 if it is what the user typed
	typed    string      // what the user typed before recalling
}

// promptHost is what the panel asks of the window.
type promptHost interface {
	pressGenerate()
	cancelRun()  // gives up the picture that is being made, and what waits of its instruction
	waits() bool // says whether Generate waits for pictures that are being read
	// overwrite replaces what is on the desk, and says so in a sentence if something of the user's is lost by that.
	overwrite(said string, do func())
	paste(text func()) // takes pictures from the clipboard; if it holds text instead, paste calls text
	focus(o fyne.Focusable)
	slotThumb(number int) *image.RGBA // the picture of a slot in small, nil while there is none
}

func newPromptPanel(c common, host promptHost) *promptPanel {
	p := &promptPanel{common: c, host: host, ground: ui.NewBox(ui.ColorPanel, 0), progress: ui.NewProgressLine()}
	p.entry = newPromptEntry(p)
	p.mentions = newMentionList(c, p)
	p.entry.OnChanged = func(string) { p.changed() }
	p.generate = ui.NewButton("Generate", host.pressGenerate).
		Says("Make the picture, or put it into the queue (Ctrl + Enter)")
	p.generate.Accent = true
	p.workflow = ui.NewLabel("", ui.ColorAccent, ui.SizeCaption)
	p.missing = ui.NewLabel("", ui.ColorError, ui.SizeCaption)
	p.tokens, p.tags = ui.NewCaption(""), ui.NewCaption("")
	p.estimate, p.kept = ui.NewCaption(""), ui.NewCaption("")
	p.cancel = ui.NewButton("Cancel", host.cancelRun).Says("Give this picture up (Esc)")
	p.cancel.Small = true
	p.earlier = ui.NewLink("earlier prompts", p.showEarlier).Says("Prompts of before (Ctrl + Up)")
	objects := []fyne.CanvasObject{p.ground, p.progress, p.entry, p.generate, p.missing}
	objects = append(objects, p.tags, p.workflow, p.tokens, p.estimate, p.kept, p.cancel)
	for i := range p.images {
		number := i + 1
		p.images[i] = ui.NewLink(fmt.Sprintf("image %d", number), func() { p.insertImage(number) }).
			Says(fmt.Sprintf("Put the words “image %d” into the prompt", number))
		objects = append(objects, p.images[i])
	}
	p.content = ui.Arranged(ui.NoSize, p.place, append(objects, p.earlier)...)
	p.Desk.Laid.Subscribe(p.lay)
	p.Desk.Renumbered.Subscribe(func() { p.lay(p.Desk.Desk()) })
	p.Desk.Chosen.Subscribe(p.refresh)
	p.Model.Changed.Subscribe(func() {
		p.refresh()
		p.countTokens()
	})
	p.Maker.Began.Subscribe(func(*studio.Run) { p.refresh() })
	p.Maker.Progress.Subscribe(func(*image.RGBA) { p.refreshButton() })
	p.Maker.Ended.Subscribe(func(studio.Ended) { p.refresh() })
	p.LoRAs.Changed.Subscribe(p.refresh)
	p.Album.Reloaded.Subscribe(p.refresh) // the estimate comes from there
	return p
}

const generateWidth float32 = 148

func (p *promptPanel) place(size fyne.Size) {
	p.ground.Resize(size)
	ui.At(p.progress, 0, 0, size.Width, 3)
	beside := generateWidth
	if size.Width < 640 {
		beside = 116
	}
	height := size.Height - ui.Margin - 34
	ui.At(p.entry, ui.Margin, ui.Margin, size.Width-3*ui.Margin-beside, height)
	ui.At(p.generate, size.Width-ui.Margin-beside, ui.Margin, beside, height)

	p.earlier.Text = "earlier prompts"
	if size.Width < 640 {
		p.earlier.Text = "earlier"
	}
	p.earlier.Refresh()
	y := size.Height - 30
	right := size.Width - ui.Margin
	place := func(b *ui.Button) {
		w := b.MinSize().Width
		right -= w
		ui.At(b, right, y, w, 24)
	}
	place(p.earlier)
	for _, b := range slices.Backward(p.images[:]) {
		if b.Visible() {
			place(b)
		}
	}
	if p.cancel.Visible() {
		right -= ui.Gap / 2
		place(p.cancel)
	}
	x := ui.Margin
	if p.missing.Text != "" {
		w := min(p.missing.Natural().Width, right-4-x)
		ui.At(p.missing, x, y, w, 24)
		x += w + 14
	}
	for _, l := range []*ui.Label{p.tags, p.workflow, p.tokens, p.estimate, p.kept} {
		w := l.Natural().Width
		if l.Text == "" || x+w > right-4 {
			l.Resize(fyne.NewSize(0, 24))
			l.Move(fyne.NewPos(x, size.Height)) // no room: out of sight
			continue
		}
		ui.At(l, x, y, w, 24)
		x += w + 14
	}
}

// workflowText names what the model will do.
func workflowText(d studio.Desk) string {
	references := len(d.Slots)
	if each := d.EachOf(); each != nil {
		return "One instruction · " + pictureCount(len(each))
	}
	if e := d.Edit; references > 0 && !e.Mask.None() {
		return "Masked edit · " + pictureCount(references)
	}
	switch inference.WorkflowOf(references) {
	case inference.TextToImage:
		return "Text to image"
	case inference.ImageToImage:
		return "Image to image"
	}
	return fmt.Sprintf("Multi-reference · %d pictures", references)
}

// keptText says what of image 1 stays as it is, "" if nothing does.
func keptText(d studio.Desk) string {
	if len(d.Slots) == 0 || d.EachOf() != nil || d.Edit.Mask.None() || d.Slots[0].Ref == nil {
		return ""
	}
	return "everything outside the mask stays as it is, " + times(d.Slots[0].Ref.Original)
}

// actionText names what Generate does with a desk.
func actionText(d studio.Desk) string {
	if each := d.EachOf(); each != nil {
		return fmt.Sprintf("Edit all %d", len(each))
	}
	if d.Edits() && d.Edit.Extends() {
		return "Extend"
	}
	if len(d.Slots) > 0 && !d.Edit.Mask.None() {
		return "Repaint"
	}
	return "Generate"
}

// missingText says at which numbers there is no picture, "" if the list is empty.
func missingText(numbers []int) string {
	switch len(numbers) {
	case 0:
		return ""
	case 1:
		return fmt.Sprintf("image %d is empty", numbers[0])
	case 2:
		return fmt.Sprintf("image %d and image %d are empty", numbers[0], numbers[1])
	}
	return fmt.Sprintf("image %d and %d others are empty", numbers[0], len(numbers)-1)
}

// refresh brings the line and the button up to date.
func (p *promptPanel) refresh() {
	n := len(p.Desk.Desk().Slots)
	p.workflow.Set(workflowText(p.Desk.Desk()), ui.ColorAccent)
	p.tags.Set(p.tagsLine())
	p.kept.Set(keptText(p.Desk.Desk()), ui.ColorDim)
	p.missing.Set(missingText(p.Desk.Desk().Missing()), ui.ColorError)
	ui.Show(p.missing, p.missing.Text != "")
	for i, b := range p.images {
		ui.Show(b, i < n)
	}
	estimate := ""
	if d := p.Estimate(); d > 0 {
		estimate = "about " + roughly(d)
	}
	p.estimate.Set(estimate, ui.ColorDim)
	p.refreshButton()
	p.content.Refresh()
}

func (p *promptPanel) refreshButton() {
	run := p.Maker.Run()
	if run == nil && p.cancel.Focused {
		p.host.focus(p.generate)
	}
	ui.Show(p.cancel, run != nil)
	p.generate.Accent = run == nil
	cancel, tip := "Cancel", "Give this picture up (Esc)"
	if run != nil && p.Queue.EachPictures(run.Batch.Each) > 0 {
		cancel, tip = "Cancel all", "Give up this picture and the others of its instruction (Esc)"
	}
	if p.cancel.Text != cancel {
		p.cancel.Says(tip).SetText(cancel, "")
		p.content.Refresh()
	}
	action := actionText(p.Desk.Desk())
	switch {
	case run != nil && run.Batch.Each != 0:
		wait := p.Queue.EachPictures(run.Batch.Each)
		p.generate.SetText("Add to queue", eachStatus(run, wait))
		p.progress.Set((float32(run.Batch.Nth-1) + float32(run.Fraction())) / float32(max(run.Batch.Of, 1)))
	case run != nil:
		p.generate.SetText("Add to queue", runStatus(run))
		p.progress.Set(float32(run.Fraction()))
	case p.Model.Opening():
		p.generate.SetText(action, "opening the model…")
	case p.host.waits():
		p.generate.SetText(action, "reading pictures…")
	default:
		p.generate.SetText(action, "Ctrl + Enter")
	}
	if run == nil {
		p.progress.Set(0)
	}
	p.generate.SetDisabled(run == nil && p.Model.Engine() == nil)
}

// typingPause is how long typing rests before tokens are counted.
const typingPause = 150 * time.Millisecond

func (p *promptPanel) changed() {
	p.Desk.Type(func(d *studio.Desk) { d.Prompt = p.entry.Text })
	tags, _ := p.tagsLine()
	if missingText(p.Desk.Desk().Missing()) != p.missing.Text || tags != p.tags.Text {
		p.refresh()
	}
	if p.recalled > 0 && p.entry.Text != p.recallText() {
		p.recalled = 0
	}
	if p.counting != nil {
		p.counting.Stop()
	}
	post := p.Loop.Post
	p.counting = time.AfterFunc(typingPause, func() { post(p.countTokens) })
}

// countTokens asks the model how much of its text the prompt takes.
func (p *promptPanel) countTokens() {
	engine, text := p.Model.Engine(), p.entry.Text
	read := p.LoRAs.WithoutTags(text)
	if engine == nil {
		p.tokens.Set("", ui.ColorDim)
		return
	}
	p.Loop.Background(func() func() {
		count, limit, err := engine.CountTokens(read)
		return func() {
			if err != nil || p.entry.Text != text {
				return
			}
			color := ui.ColorDim
			line := fmt.Sprintf("%d of %d tokens", count, limit)
			if count > limit {
				color, line = ui.ColorError, fmt.Sprintf("%d of %d tokens: the end is cut off", count, limit)
			}
			p.tokens.Set(line, color)
			p.content.Refresh()
		}
	})
}

// lay shows the prompt of a desk. If it is there already, the cursor stays.
func (p *promptPanel) lay(d studio.Desk) {
	if p.entry.Text != d.Prompt {
		row, column, length := p.entry.CursorRow, p.entry.CursorColumn, len(p.entry.Text)
		p.setText(d.Prompt)
		if len(p.entry.Text) == length { // it was only renumbered
			p.entry.CursorRow, p.entry.CursorColumn = row, column
			p.entry.Refresh()
		}
		p.Desk.Type(func(d *studio.Desk) { d.Prompt = p.entry.Text }) // what of it was admitted
	}
}

// recallText is the earlier prompt that is shown.
func (p *promptPanel) recallText() string {
	earlier := p.Album.Prompts()
	if p.recalled < 1 || p.recalled > len(earlier) {
		return p.typed
	}
	return earlier[p.recalled-1]
}

// recall goes through earlier prompts: +1 to the next older one, -1 back towards what was typed.
func (p *promptPanel) recall(step int) {
	to := p.recalled + step
	if to < 0 || to > len(p.Album.Prompts()) {
		return
	}
	if p.recalled == 0 {
		p.typed = p.entry.Text
	}
	record := p.Desk.Amend
	if p.recalled == 0 { // from what the user typed, not from one earlier prompt to the next
		record = func(do func()) { p.Desk.Change(do) }
	}
	p.recalled = to
	record(func() { p.setText(p.recallText()) })
}

// setText replaces the prompt with as much of text as is admitted, and leaves the cursor at its end.
func (p *promptPanel) setText(text string) {
	p.entry.SetText(p.admit(text, maxPrompt))
	p.entry.toEnd()
}

// replaceNext gives the prompt the keyboard with all of its text selected: what is typed next replaces it.
func (p *promptPanel) replaceNext() {
	p.host.focus(p.entry)
	p.entry.Entry.TypedShortcut(&fyne.ShortcutSelectAll{})
}

const earlierShown = 12

func (p *promptPanel) showEarlier() {
	var items []*fyne.MenuItem
	for i, text := range p.Album.Prompts() {
		if i == earlierShown {
			break
		}
		items = append(items, fyne.NewMenuItem(shorten(text, 70), func() {
			p.host.overwrite("The earlier prompt is back.", func() { p.setText(text) })
		}))
	}
	if len(items) == 0 {
		items = []*fyne.MenuItem{{Label: "No earlier prompts yet", Disabled: true}}
	}
	menu := widget.NewPopUpMenu(fyne.NewMenu("", items...), fyne.CurrentApp().Driver().CanvasForObject(p.earlier))
	size := menu.MinSize()
	menu.ShowAtRelativePosition(fyne.NewPos(p.earlier.Size().Width-size.Width, -size.Height-4), p.earlier)
}
