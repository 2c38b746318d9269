package app

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// loraEngine is a fakeEngine that takes adapters: those in names, whose digests are their names backwards.
type loraEngine struct {
	*fakeEngine
	names inference.LoRANames
	infos map[string]inference.LoRAInfo // by name
	hold  chan struct{}                 // reading waits for it; nil for no waiting
	// onDisk says that the files of unknown adapters must be there.
	onDisk bool
}

func (e *loraEngine) LoRAs(context.Context) (inference.LoRANames, error) { return e.names, nil }

func (e *loraEngine) LoRA(_ context.Context, l inference.LoRA) (inference.LoRAInfo, error) {
	if e.hold != nil {
		<-e.hold
	}
	info, err := e.InspectLoRA(context.Background(), l)
	if err == nil && l.Digest != "" && l.Digest != info.Digest {
		err = fmt.Errorf("inference: LoRA %s: found the file %s with another SHA-256", l.Name, l.Path)
	}
	return info, err
}

func (e *loraEngine) InspectLoRA(_ context.Context, l inference.LoRA) (inference.LoRAInfo, error) {
	info, ok := e.infos[l.Name]
	if _, err := os.Stat(l.Path); !ok && e.onDisk && err != nil {
		return info, fmt.Errorf("lora: %w", err)
	}
	if !ok {
		return info, errors.New("lora: " + l.Path + ": nothing in it fits this model: img_in: found a layer of [4096 128], " +
			"want [3072 128]: it was made for FLUX.2 [klein] 9B, and this model is FLUX.2 [klein] 4B")
	}
	info.Name = l.Name
	return info, nil
}

// withLoRAs opens an engine with some adapters.
func withLoRAs(b *bench, cfg *Config) {
	info := func(matched, total, rank int, digest string, triggers ...string) inference.LoRAInfo {
		i := inference.LoRAInfo{Matched: matched, Total: total}
		i.HighestRank, i.LowestRank, i.Digest, i.Triggers, i.Trainer = rank, rank, digest, triggers, "ai-toolkit"
		return i
	}
	e := &loraEngine{fakeEngine: b.engine, infos: map[string]inference.LoRAInfo{
		"style/watercolour": info(280, 280, 16, "aa", "wtrclr style", "loose brush"),
		"film-grain":        info(264, 280, 32, "bb"),
		"ink":               info(280, 280, 8, "cc", "inkwash"),
	}}
	grain := e.infos["film-grain"]
	grain.Left = "not applied: text_encoder.layers.0.q_proj (a layer of a text encoder, which is not " +
		"changed here) and 15 more"
	e.infos["film-grain"] = grain
	for _, name := range []string{"film-grain", "ink", "portrait-9b", "style/watercolour"} {
		e.names = append(e.names, inference.NamedLoRA{Name: name, Path: "/home/ada/loras/" + name + ".safetensors"})
	}
	cfg.Open = func(context.Context, inference.Options) (Engine, error) { return e, nil }
}

func (b *bench) loras() *loraEngine { return b.Model.Engine().(*loraEngine) }

// addLoRA adds an adapter by the list.
func (b *bench) addLoRA(name string) {
	b.t.Helper()
	d := b.showLoRAList()
	b.settle()
	d.search.SetText(name)
	if len(d.shown) != 1 {
		b.t.Fatalf("%d adapters are named %s, want 1", len(d.shown), name)
	}
	test.Tap(d.shown[0].add)
	d.modal.Close()
	b.settle()
}

// TestLoRARows adds adapters, changes them by every control, and looks at what is asked for.
func TestLoRARows(t *testing.T) {
	b := newBench(t, usual, withLoRAs)
	p := b.lora
	if p.open || p.name.Text != "LoRA" {
		t.Errorf("at first: %q, unfolded: %v", p.name.Text, p.open)
	}
	b.addLoRA("watercolour")
	b.addLoRA("grain")
	if !p.open || len(p.rows) != 2 || p.name.Text != "LoRA · 2" {
		t.Fatalf("%d rows under %q, unfolded: %v", len(p.rows), p.name.Text, p.open)
	}
	if got := p.rows[0].fits.Text; got != "280 of 280 layers · rank 16" {
		t.Errorf("fits: %q", got)
	}
	const part = "264 of 280 layers · rank 32; not applied: text_encoder.layers.0"
	if got := p.rows[1].fits.Text; !strings.HasPrefix(got, part) {
		t.Errorf("fits in part: %q", got)
	}
	asked := func(want string) {
		t.Helper()
		req, err := b.Request()
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, l := range req.LoRAs() {
			got += fmt.Sprintf("%s %g %s, ", l.Name, l.Strength, l.Digest)
		}
		if got != want {
			t.Errorf("asked for %q, want %q", got, want)
		}
	}
	asked("style/watercolour 1 aa, film-grain 1 bb, ")
	p.rows[0].amount.TypedKey(&fyne.KeyEvent{Name: fyne.KeyLeft})
	asked("style/watercolour 0.95 aa, film-grain 1 bb, ")
	if p.rows[0].number.Text != "0.95" {
		t.Errorf("number %q", p.rows[0].number.Text)
	}
	b.win.Canvas().Focus(p.rows[1].number)
	p.rows[1].number.SetText("-0,5")
	asked("style/watercolour 0.95 aa, film-grain -0.5 bb, ")
	if p.rows[1].amount.Value != -0.5 {
		t.Errorf("slider at %v", p.rows[1].amount.Value)
	}
	p.rows[1].number.SetText("5")
	asked("style/watercolour 0.95 aa, film-grain 5 bb, ")
	p.rows[1].number.SetText("eleven")
	asked("style/watercolour 0.95 aa, film-grain 5 bb, ")
	if !strings.Contains(p.rows[1].fits.Text, "from -10 to 10") {
		t.Errorf("a strength that is no number: %q", p.rows[1].fits.Text)
	}
	b.win.Canvas().Focus(b.prompt.entry)
	if p.rows[1].number.Text != "5" {
		t.Errorf("left with %q", p.rows[1].number.Text)
	}
	p.rows[0].on.SetChecked(false)
	asked("film-grain 5 bb, ")
	b.Desk.Undo()
	asked("style/watercolour 0.95 aa, film-grain 5 bb, ")
	if !p.rows[0].on.Checked {
		t.Error("undo does not tick it")
	}
	test.Tap(p.rows[1].remove)
	asked("style/watercolour 0.95 aa, ")
	b.wantSaid("The LoRA film-grain was removed.")
	b.tapUndo()
	asked("style/watercolour 0.95 aa, film-grain 5 bb, ")

	b.prompt.setText("a house in")
	test.Tap(p.rows[0].triggers[0])
	if got := b.prompt.entry.Text; got != "a house in wtrclr style " {
		t.Errorf("prompt %q", got)
	}
	b.make("a house")
	if got := b.engine.made()[0].LoRAs(); len(got) != 2 || got[0].Strength != 0.95 {
		t.Errorf("made with %v", got)
	}
}

// TestLoRAList checks the search, and that files that do not fit are dimmed with the reason.
func TestLoRAList(t *testing.T) {
	b := newBench(t, usual, withLoRAs)
	d := b.showLoRAList()
	b.settle()
	var names []string
	for _, i := range d.shown {
		names = append(names, i.NamedLoRA.Name)
	}
	if want := []string{"film-grain", "ink", "portrait-9b", "style/watercolour"}; !slices.Equal(names, want) {
		t.Fatalf("%v, want %v", names, want)
	}
	if i := d.shown[2]; !i.add.Disabled() || i.about.Text != "Made for FLUX.2 [klein] 9B." {
		t.Errorf("one that does not fit: %q", i.about.Text)
	}
	if i := d.shown[1]; i.add.Disabled() || i.about.Text != "280 of 280 layers · rank 8 · ai-toolkit" {
		t.Errorf("one that fits: %q", i.about.Text)
	}
	d.search.SetText("STYLE colour")
	if len(d.shown) != 1 || d.shown[0].NamedLoRA.Name != "style/watercolour" {
		t.Errorf("found %d", len(d.shown))
	}
	test.Tap(d.shown[0].add)
	if d.shown[0].add.Text != "Added" || len(b.Desk.Desk().LoRAs) != 1 {
		t.Error("it was not added")
	}
	d.search.SetText("nothing")
	if len(d.rows.Objects) != 1 || len(d.shown) != 0 {
		t.Error("a search in vain says nothing")
	}
}

// TestGenerateWaitsForLoRAs checks that no picture is made without an adapter that is on.
func TestGenerateWaitsForLoRAs(t *testing.T) {
	b := newBench(t, usual, withLoRAs)
	b.loras().hold = make(chan struct{})
	b.Desk.Choose(func(d *studio.Desk) {
		d.AddLoRA(studio.LoRA{Name: "ink", Path: "/home/ada/loras/ink.safetensors", Strength: 1})
	})
	b.prompt.setText("a fox")
	b.generate()
	if b.Maker.Run() != nil || !b.waits() {
		t.Error("Generate does not wait")
	}
	close(b.loras().hold)
	b.until("a picture", func() bool { return len(b.Album.Entries()) == 1 })
	if got := b.engine.made()[0].LoRAs(); len(got) != 1 || got[0].Digest != "cc" {
		t.Errorf("made with %v", got)
	}

	b.Desk.Choose(func(d *studio.Desk) {
		d.AddLoRA(studio.LoRA{Name: "portrait-9b", Path: "/home/ada/loras/portrait-9b.safetensors", Strength: 1})
	})
	b.settle()
	b.generate()
	b.wantSaid("The LoRA portrait-9b cannot be used: nothing in it fits this model: img_in: found a layer " +
		"of [4096 128], want [3072 128]: it was made for FLUX.2 [klein] 9B, and this model is FLUX.2 [klein] 4B.")
	if len(b.engine.made()) != 1 || b.waits() {
		t.Error("a picture was made without it")
	}
	b.lora.rows[1].on.SetChecked(false)
	b.make("a fox")
	if len(b.engine.made()) != 2 {
		t.Error("no picture with it switched off")
	}
}

// TestLoRAFromElsewhere drops files, and restores the adapters of a picture by their digests.
func TestLoRAFromElsewhere(t *testing.T) {
	b := newBench(t, usual, withLoRAs)
	write := func(name, content string) string {
		path := filepath.Join(b.dir, name)
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	b.receive(0, []string{write("torn.safetensors", "x"), b.file("garden.png", 64, 64, 1)})
	b.until("both", func() bool { return len(b.Desk.Desk().References()) == 1 && b.notice.Visible() })
	if got := b.said(); !strings.HasPrefix(got, "torn.safetensors was not added. ") || len(b.Desk.Desk().LoRAs) != 0 {
		t.Errorf("says %q", got)
	}
	golden, err := os.ReadFile("../inference/testdata/golden/lora/files/split-qkv.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	b.loras().infos["ours"] = inference.LoRAInfo{Matched: 10, Total: 10}
	b.receive(0, []string{write("ours.safetensors", string(golden))})
	b.until("the adapter", func() bool { return len(b.Desk.Desk().LoRAs) == 1 })
	b.settle()
	if !b.lora.open || b.lora.rows[0].fits.Text != "10 of 10 layers" {
		t.Errorf("dropped: %q", b.lora.rows[0].fits.Text)
	}

	b.restore(picture.Metadata{Prompt: "x", Width: 512, Height: 512, LoRAs: []picture.LoRAFile{
		{Name: "watercolour", SHA256: "AA", Strength: 0.4}, {Name: "gone", SHA256: "12", Strength: 1},
	}}, studio.Mask{})
	b.settle()
	d := b.Desk.Desk().LoRAs
	if len(d) != 2 || d[0].Name != "style/watercolour" || d[0].Digest != "aa" || d[0].Strength != 0.4 || d[1].Path != "" {
		t.Fatalf("restored %+v", d)
	}
	if got := b.lora.rows[1].fits.Text; !strings.HasPrefix(got, "Its file was not found") {
		t.Errorf("one that is gone: %q", got)
	}
	b.prompt.setText("x")
	b.generate()
	b.wantSaid("The LoRA gone cannot be used: its file was not found in " + inference.LoRADir())
	b.wantSaid(", nor under another name: add it again, or switch it off.")
	b.Desk.Undo()
	if d := b.Desk.Desk().LoRAs; len(d) != 1 || d[0].Name != "ours" {
		t.Errorf("undone: %+v", d)
	}

	// A file with another name is found by its digest.
	digest, path := fmt.Sprintf("%x", sha256.Sum256(golden)), filepath.Join(b.dir, "ours.safetensors")
	renamed := inference.LoRAInfo{Matched: 10, Total: 10}
	renamed.Digest = digest
	b.loras().infos["renamed"] = renamed
	b.loras().names = append(b.loras().names, inference.NamedLoRA{Name: "renamed", Path: path})
	b.restore(picture.Metadata{Prompt: "x", Width: 512, Height: 512, LoRAs: []picture.LoRAFile{
		{Name: "as it was called", SHA256: digest, Strength: -1},
	}}, studio.Mask{})
	b.settle()
	if d := b.Desk.Desk().LoRAs; len(d) != 1 || d[0].Path != path || d[0].Name != "renamed" || d[0].Strength != -1 {
		t.Errorf("found by its digest: %+v", d)
	}
}

// TestLoRAMoved moves the file of an adapter on the desk: into its folder under another name, where it is found by its
// digest, and away, which is said with the places where it was looked for.
func TestLoRAMoved(t *testing.T) {
	golden, err := os.ReadFile("../inference/testdata/golden/lora/files/split-qkv.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, usual, withLoRAs)
	digest := fmt.Sprintf("%x", sha256.Sum256(golden))
	gone, there := filepath.Join(b.dir, "old.safetensors"), filepath.Join(b.dir, "new.safetensors")
	if err := os.WriteFile(there, golden, 0o666); err != nil {
		t.Fatal(err)
	}
	info := inference.LoRAInfo{Matched: 10, Total: 10}
	info.Digest = digest
	b.loras().infos["new"], b.loras().onDisk = info, true
	b.Desk.Choose(func(d *studio.Desk) {
		d.LoRAs = []studio.LoRA{{Name: "old", Path: gone, Digest: digest, Strength: 1}}
	})
	b.settle()
	if d := b.Desk.Desk().LoRAs; d[0].Path != there || d[0].Name != "new" {
		t.Errorf("found %+v, want %s", d, there)
	}
	b.Desk.Choose(func(d *studio.Desk) {
		d.LoRAs = []studio.LoRA{{Name: "old", Path: gone, Digest: strings.Repeat("0", 64), Strength: 1}}
	})
	b.settle()
	b.prompt.setText("x")
	b.generate()
	b.wantSaid("its file was not found at " + gone + ", nor under another name in " + inference.LoRADir())
}

// TestLoRAsAreKept checks that adapters are there again at the next start, and in the queue.
func TestLoRAsAreKept(t *testing.T) {
	b := newBench(t, usual, withLoRAs)
	b.addLoRA("ink")
	b.addLoRA("grain")
	b.Desk.Choose(func(d *studio.Desk) { d.SetLoRA(1, func(l *studio.LoRA) { l.Off, l.Strength = true, -0.25 }) })
	b.prompt.setText("a fox <lora:watercolour:0.5>")
	b.Queue.Pause()
	b.until("the adapter in the prompt is read", func() bool {
		wait, err := b.LoRAs.Prepare(b.Desk.Desk())
		return !wait && err == nil
	})
	batch, err := b.NextBatch()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store, err := studio.OpenStore(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(store.SaveDesk(b.Desk.Desk()), store.SaveQueue([]studio.Batch{batch})); err != nil {
		t.Fatal(err)
	}
	desk, ok, err := store.LoadDesk()
	if want := b.Desk.Desk().LoRAs; err != nil || !ok || !slices.Equal(desk.LoRAs, want) || !want[1].Off {
		t.Errorf("kept %+v, %v, want %+v", desk.LoRAs, err, want)
	}
	kept, err := store.LoadQueue()
	if err != nil || len(kept) != 1 {
		t.Fatal(kept, err)
	}
	read, err := kept[0].Read(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	ask, err := read.Ask(store)
	if err != nil || ask.Prompt != "a fox" || len(ask.LoRAs) != 2 || ask.LoRAs[0].Digest != "cc" ||
		ask.LoRAs[1].Strength != 0.5 || ask.LoRAs[1].Digest != "aa" {
		t.Errorf("the queue asks for %q with %+v, %v", ask.Prompt, ask.LoRAs, err)
	}
}

// TestLoRAsInThePrompt checks that <lora:NAME:STRENGTH> is understood as on the command line.
func TestLoRAsInThePrompt(t *testing.T) {
	b := newBench(t, usual, withLoRAs)
	b.prompt.setText("a fox <lora:watercolour:0.8> here")
	b.settle()
	if b.prompt.tags.Text != "LoRA style/watercolour 0.8" {
		t.Errorf("says %q", b.prompt.tags.Text)
	}
	b.generate()
	b.until("a picture", func() bool { return len(b.Album.Entries()) == 1 })
	made := b.engine.made()[0]
	if l := made.LoRAs(); made.Prompt() != "a fox here" || len(l) != 1 || l[0].Strength != 0.8 {
		t.Errorf("made of %q with %v", made.Prompt(), l)
	}
	if b.prompt.entry.Text != "a fox <lora:watercolour:0.8> here" {
		t.Errorf("the prompt is %q now", b.prompt.entry.Text)
	}
	// One that does not fit is refused before it waits in the queue.
	b.prompt.setText("a fox <lora:portrait-9b>")
	b.settle()
	b.generate()
	b.settle()
	b.wantSaid("The LoRA portrait-9b cannot be used: nothing in it fits this model")
	if b.waits() || len(b.engine.made()) != 1 {
		t.Error("a picture was made without it")
	}
	// A file that was replaced is the new adapter at the next picture.
	ink := b.loras().infos["ink"]
	for i, digest := range []string{"cc", "dd"} {
		ink.Digest = digest
		b.loras().infos["ink"] = ink
		b.prompt.setText("a fox <lora:ink>")
		b.generate()
		b.until("a picture", func() bool { return len(b.engine.made()) == 2+i })
		if l := b.engine.made()[1+i].LoRAs(); len(l) != 1 || l[0].Digest != digest {
			t.Errorf("made with %v, want the digest %s", l, digest)
		}
		b.settle()
	}
	b.prompt.entry.SetText("a fox <lora:nope>")
	if b.prompt.tags.Text != "<lora:nope> is no LoRA here" {
		t.Errorf("says %q", b.prompt.tags.Text)
	}
}
