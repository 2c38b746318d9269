package app

import (
	"fmt"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// loraList is the dialog with the adapters that there are. It says of each what it is, and of those that do not fit the
// model why. It looks into the files one after the other while it is open.
type loraList struct {
	s      *session
	modal  *ui.Modal
	search *ui.Field
	rows   *fyne.Container
	scroll *container.Scroll
	shown  []*loraItem
	all    map[string]*loraItem // by path and name
}

// loraItem is an adapter of the list.
type loraItem struct {
	inference.NamedLoRA
	name, about *ui.Label
	add         *ui.Button
	looked      bool
	unfit       bool
	content     *fyne.Container
}

const (
	loraListHeight float32 = 340
	loraItemHeight float32 = 48
	// shownLoRAs is how many adapters are listed at a time. Those beyond are found by searching.
	shownLoRAs = 60
)

// chooseLoRA shows the list.
func (s *session) chooseLoRA() { s.showLoRAList() }

func (s *session) showLoRAList() *loraList {
	d := &loraList{s: s, search: ui.NewField(s.keys), all: map[string]*loraItem{}}
	title := ui.NewLabel("Add a LoRA", ui.ColorText, "headingText")
	d.search.SetPlaceHolder("search")
	d.search.OnChanged = func(string) { d.refresh() }
	d.rows = container.New(ui.Stacked{})
	d.scroll = container.NewVScroll(d.rows)
	body := ui.Arranged(func() fyne.Size {
		return fyne.NewSize(0, min(loraListHeight, s.win.Canvas().Size().Height-180))
	}, func(size fyne.Size) {
		ui.At(title, 0, 0, size.Width, 28)
		ui.At(d.search, 0, 34, size.Width, ui.FieldHeight)
		ui.At(d.scroll, 0, 78, size.Width, size.Height-84)
	}, title, d.search, d.scroll)
	s.LoRAs.Refresh()
	d.modal = s.showModal(body, ui.Action{Text: "Choose a file…", Do: s.pickLoRA}, ui.Action{Text: "Close"})
	s.focus(d.search)
	d.refresh()
	s.loraList = d
	return d
}

// refresh shows the adapters whose names have the words of the search.
func (d *loraList) refresh() {
	words := strings.Fields(strings.ToLower(d.search.Text))
	info, open := d.s.Model.Info()
	d.shown, d.rows.Objects = nil, nil
	more := 0
	for _, n := range d.s.LoRAs.Names() {
		if inference.IsEmbeddedLoRA(n) && open && !info.Demo {
			continue // it fits the demo model only
		}
		name := strings.ToLower(n.Name)
		if slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(name, w) }) {
			continue
		}
		if len(d.shown) == shownLoRAs {
			more++
			continue
		}
		item := d.item(n)
		item.refresh(d.s.Desk.Desk())
		d.shown = append(d.shown, item)
		d.rows.Objects = append(d.rows.Objects, item.content)
	}
	said := ""
	switch {
	case more > 0:
		said = fmt.Sprintf("And %d more: search for a part of the name.", more)
	case len(d.shown) == 0 && len(words) > 0:
		said = "No LoRA has such a name."
	case len(d.shown) == 0 && info.Remote != "":
		said = "The other computer has no LoRA in its folders."
	case len(d.shown) == 0:
		said = "There is no LoRA in " + inference.LoRADir() + ", nor in the folders of ComfyUI, Forge and SwarmUI."
	}
	if said != "" {
		d.rows.Objects = append(d.rows.Objects, ui.NewSentenceLabel(said))
	}
	d.rows.Refresh()
	d.look()
}

// item returns the row of an adapter, which is kept while the list is open.
func (d *loraList) item(n inference.NamedLoRA) *loraItem {
	key := n.Path + "\x00" + n.Name
	if item := d.all[key]; item != nil {
		return item
	}
	i := &loraItem{NamedLoRA: n, name: ui.NewLabel(n.Name, ui.ColorText, ui.SizeText), about: ui.NewCaption("")}
	i.add = ui.NewButton("Add", func() {
		d.s.Desk.Choose(func(desk *studio.Desk) {
			desk.AddLoRA(studio.LoRAOf(inference.LoRA{Name: n.Name, Path: n.Path, Strength: 1}))
		})
		d.s.lora.unfold()
		i.refresh(d.s.Desk.Desk())
	})
	i.add.Small = true
	i.content = ui.Arranged(ui.Fixed(0, loraItemHeight), func(size fyne.Size) {
		w := max(i.add.MinSize().Width, 60)
		ui.At(i.name, 2, 4, size.Width-w-20, 20)
		ui.At(i.about, 2, 24, size.Width-w-20, 18)
		ui.At(i.add, size.Width-w-10, 11, w, 24)
	}, i.name, i.about, i.add)
	d.all[key] = i
	return i
}

// refresh shows whether the adapter is on the desk, and dims one that does not fit.
func (i *loraItem) refresh(desk studio.Desk) {
	there := slices.ContainsFunc(desk.LoRAs, func(l studio.LoRA) bool { return l.Path == i.Path && l.Name == i.Name })
	text, color := "Add", ui.ColorText
	if there {
		text = "Added"
	}
	if i.unfit {
		color = ui.ColorDim
	}
	i.name.Set(i.name.Text, color)
	i.add.SetText(text, "")
	i.add.SetDisabled(there || i.unfit)
}

// look looks into the next file of the list that nothing is known of, and then into those after it.
func (d *loraList) look() {
	at := slices.IndexFunc(d.shown, func(i *loraItem) bool { return !i.looked })
	if at < 0 {
		return
	}
	item, look := d.shown[at], d.s.LoRAs.Look()
	item.looked = true
	d.s.Loop.Background(func() func() {
		info, ok, err := look(item.NamedLoRA)
		return func() {
			switch {
			case !ok:
			case err != nil:
				item.unfit = true
				item.about.Set(shortReason(explain(err)), ui.ColorDim)
			default:
				item.about.Set(aboutLoRA(info), ui.ColorDim)
			}
			item.refresh(d.s.Desk.Desk())
			if d.modal.IsOpen() {
				d.look()
			}
		}
	})
}

// shortReason returns what a line has room for of the reason why an adapter does not fit: the model that it was made
// for, if that is known.
func shortReason(text string) string {
	if _, made, ok := strings.Cut(text, "it was made for "); ok {
		model, _, _ := strings.Cut(made, ", and")
		return "Made for " + strings.TrimSuffix(model, ".") + "."
	}
	return text
}

// aboutLoRA describes an adapter in one line: layers, rank, base, trainer.
func aboutLoRA(i inference.LoRAInfo) string {
	list := []string{fmt.Sprintf("%d of %d layers", i.Matched, i.Total)}
	for _, text := range []string{rankText(i), i.Base, i.Trainer} {
		if text != "" {
			list = append(list, shorten(text, 40))
		}
	}
	return strings.Join(list, " · ")
}
