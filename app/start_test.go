package app

import (
	"context"
	"errors"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/assets/demo"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

func TestFirstStart(t *testing.T) {
	catalogue := &fakeCatalogue{got: make(chan string)}
	engine := newFakeEngine()
	var opened []inference.Options
	have, remembered := false, ""
	b := newBench(t, usual, withoutModel, func(_ *bench, cfg *Config) {
		cfg.Catalogue = catalogue
		cfg.RememberModel = func(spec string) error { remembered = spec; return nil }
		cfg.Open = func(ctx context.Context, o inference.Options) (Engine, error) {
			opened = append(opened, o)
			if !have {
				return demoEngine(), nil
			}
			return engine, nil
		}
	})
	b.settle()
	if !b.start.content.Visible() || len(b.start.found) != 1 {
		t.Fatalf("visible %v, found %v", b.start.content.Visible(), b.start.found)
	}
	b.start.ask(catalogue.Downloads()[1])
	b.wantSaid("commercially")
	if b.start.loading != "" {
		t.Error("a download began before the licence was agreed to")
	}
	test.Tap(b.notice.Actions[1])
	b.start.ask(catalogue.Downloads()[0])
	b.until("progress", func() bool { return b.start.bar.Fraction > 0 })
	have = true
	catalogue.got <- "/models/4b"
	b.until("the model is open", func() bool { return b.session.Model.Engine() == engine })
	b.settle() // it is remembered behind that
	if b.start.content.Visible() || remembered != "/models/4b" || opened[len(opened)-1].Setting != "/models/4b" {
		t.Errorf("visible %v, setting %q, opened %+v", b.start.content.Visible(), remembered, opened)
	}
	b.settle()
}

// TestDemoModel: without a model the page offers the demo model, at the first start only; whoever makes a picture has
// accepted it as well.
func TestDemoModel(t *testing.T) {
	b := newBench(t, usual, withoutModel)
	b.settle()
	if !b.start.content.Visible() {
		t.Fatal("no page of models")
	}
	b.prompt.entry.SetText("")
	b.start.try()
	b.wantSaid("Demo model: simple drawings only")
	if b.prompt.entry.Text != demo.Prompt {
		t.Errorf("the prompt is %q, want %q to try", b.prompt.entry.Text, demo.Prompt)
	}
	b.chooseModel()
	b.make("a red house")
	if b.start.content.Visible() || !b.view.view.Visible() {
		t.Error("the page of models covers the picture")
	}
	b.session.openModel(inference.Options{})
	b.settle()
	if b.start.content.Visible() {
		t.Error("the page came again though the demo model was chosen")
	}
}

// TestModelInUse: the page of models marks the one in use and has a way back that is seen without scrolling.
func TestModelInUse(t *testing.T) {
	b := newBench(t, fyne.NewSize(900, 600), func(b *bench, cfg *Config) {
		withoutModel(b, cfg)
		cfg.Open = nil
		cfg.FindModels = func(context.Context) []Model {
			return []Model{{Name: "one", Spec: "/m/one", SizeBytes: 1e9}, {Name: "two", Spec: "/m/two", SizeBytes: 1e9}}
		}
		b.engine.info.Location = "/m/two"
	})
	b.chooseModel()
	b.settle()
	marked := map[string]float32{}
	walk(b.start.content, fyne.Position{}, func(o fyne.CanvasObject, pos fyne.Position) {
		if k, ok := o.(*ui.Button); ok && k.Text != "" {
			marked[k.Text] = pos.Y
		}
	})
	if use, in := marked["Use"], marked["In use"]; use == 0 || in <= use {
		t.Errorf("buttons %v, want the second marked", marked)
	}
	if y, ok := marked["‹ Back"]; !ok || y > 100 {
		t.Errorf("the way back is at %v of %v", y, marked)
	}
	b.escape()
	if b.start.content.Visible() {
		t.Error("Escape does not go back")
	}
}

// TestOpeningIsLeft chooses another model while one is being opened whose disk does not answer.
func TestOpeningIsLeft(t *testing.T) {
	ended := make(chan error, 1)
	b := newBench(t, usual, func(b *bench, cfg *Config) {
		cfg.Open = func(ctx context.Context, o inference.Options) (Engine, error) {
			if o.Setting != "/m/hangs" {
				return b.engine, nil
			}
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return nil, context.Cause(ctx)
		}
	})
	b.session.start.use("/m/hangs")
	if !b.session.Model.Opening() {
		t.Fatal("no model is being opened")
	}
	b.session.start.use("/m/other")
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the first ended with %v", err)
	}
	b.until("the other model is open", func() bool {
		return !b.session.Model.Opening() && b.session.Model.Engine() != nil
	})
	b.make("a red house")
}

// TestFoundModels: the page says of each model on this computer what it needs of the chosen device's memory, and how
// close its pictures are to those of bf16 weights.
func TestFoundModels(t *testing.T) {
	b := newBench(t, usual, withoutModel, func(_ *bench, cfg *Config) {
		cfg.FindModels = func(context.Context) []Model {
			need := inference.Need{Processor: 3_400_000_000, Card: 9_600_000_000}
			return []Model{{Name: "q4", Spec: "/m/q4,/m/qwen", SizeBytes: 5e9, Need: need, Quality: "visible differences",
				Why: "qwen is the largest of 2 text encoders for it"}}
		}
		cfg.memoryOn = func(d inference.Device) inference.Room {
			return inference.Room{Bytes: 8_600_000_000, Card: d != inference.DeviceCPU}
		}
	})
	b.settle()
	texts := map[string]bool{}
	tip := ""
	walk(b.start.content, fyne.Position{}, func(o fyne.CanvasObject, _ fyne.Position) {
		switch o := o.(type) {
		case *ui.Label:
			texts[o.Text] = true
		case *ui.Button:
			if o.Text == "Use" {
				tip = o.Tip.Tip
			}
		}
	})
	for _, want := range []string{
		"q4", "/m/q4,/m/qwen", "needs 9.6 GB of the graphics card, there are only 8.6 · visible differences",
	} {
		if !texts[want] {
			t.Errorf("the page does not say %q: %v", want, texts)
		}
	}
	if tip != "qwen is the largest of 2 text encoders for it" {
		t.Errorf("the tip is %q", tip)
	}
}

// plannedEngine is an engine with a graphics card.
type plannedEngine struct{ *fakeEngine }

func (plannedEngine) Plan(req inference.Request) (inference.Plan, error) {
	need := int64(5+2*len(req.References())) * 1e9
	return inference.Plan{PeakBytes: need, LeastBytes: need, RoomBytes: 10e9, TotalBytes: 12e9}, nil
}

func withPlan(b *bench, cfg *Config) {
	cfg.Open = func(context.Context, inference.Options) (Engine, error) { return plannedEngine{b.engine}, nil }
}

func TestPlannedMemory(t *testing.T) {
	b := newBench(t, usual, withPlan)
	if got := b.cost.memory.Text; got != "needs 5.0 of 12.0 GB" || !b.cost.bar.Visible() {
		t.Errorf("%q", got)
	}
	b.slots.add(0, []string{b.file("one.png", 64, 64, 1)})
	b.settle()
	if got := b.cost.memory.Text; got != "needs 7.0 of 12.0 GB" {
		t.Errorf("with a reference: %q", got)
	}
	again := b.Desk.Desk().References()[0].Path
	b.slots.add(0, []string{again, again, again})
	b.settle()
	if got := b.cost.memory; got.Text != "needs 13.0 GB, 10.0 GB free: take a smaller size" || got.Color != ui.ColorError {
		t.Errorf("more than there is: %q in %s", got.Text, got.Color)
	}
}

// TestEngineNotices shows all that an engine has to say, at once.
func TestEngineNotices(t *testing.T) {
	e := newFakeEngine()
	e.info.Notices = []string{"a guess was made", "The files are old."}
	b := newBench(t, usual, withEngine(e))
	b.wantSaid("A guess was made. The files are old.")
}

// TestSettingsPersist opens a second window on the same preferences.
func TestSettingsPersist(t *testing.T) {
	b := newBench(t, usual)
	b.shape.choose(picture.Wide)
	b.shape.setCount(5)
	b.shape.setSeed("77")
	b.shape.setLocked(true)
	b.prompt.setText("kept")
	b.win.Resize(fyne.NewSize(1000, 700))
	b.leave()
	again := b.open(b.app, b.cfg, fyne.NewSize(1000, 700))
	size := again.set.windowSize(fyne.Size{})
	shape, prompt := again.shape, again.prompt.entry.Text
	if shape.aspect() != picture.Wide || shape.count() != 5 || shape.seedEntry.Text != "77" || !shape.locked() ||
		!shape.lock.Chosen || prompt != "kept" || size != fyne.NewSize(1000, 700) {
		t.Errorf("%v %d %s %q %v", shape.aspect(), shape.count(), shape.seedEntry.Text, prompt, size)
	}
}

// TestStartedWithFiles: a desktop hands over the pictures that it opens with the program.
func TestStartedWithFiles(t *testing.T) {
	b := newBench(t, usual, func(b *bench, cfg *Config) {
		cfg.Dropped = []string{b.file("one.png", 64, 64, 1), b.file("two.png", 64, 64, 2)}
	})
	b.settle()
	b.wantNames("one.png", "two.png")
}

// TestRecommendation: the page recommends the model that this computer has the memory for and that may be used for
// everything, says what is not known, and folds the others.
func TestRecommendation(t *testing.T) {
	free := func(name string, memory int64) Download {
		return Download{Name: name, Need: inference.Need{Processor: memory}}
	}
	bound := Download{Name: "bound", Need: inference.Need{Processor: 1}, Agree: "Not commercially."}
	for _, row := range []struct {
		name   string
		list   []Download
		memory int64
		want   string
	}{
		{"the first fits", []Download{free("a", 8), free("b", 4)}, 16, "a"},
		{"the first is too large", []Download{free("a", 32), free("b", 4)}, 16, "b"},
		{"nothing fits", []Download{free("a", 32), free("b", 20)}, 16, "b"},
		{"the memory is not known", []Download{bound, free("a", 32)}, 0, "a"},
		{"only one with a condition fits", []Download{bound, free("a", 32)}, 16, "a"},
		{"all have conditions", []Download{bound}, 16, "bound"},
	} {
		if got := recommend(row.list, inference.Room{Bytes: row.memory}); got.Name != row.want {
			t.Errorf("%s: %s, want %s", row.name, got.Name, row.want)
		}
	}

	b := newBench(t, usual, withoutModel, func(_ *bench, cfg *Config) { cfg.FindModels = nil })
	b.settle()
	texts := func() (list []string) {
		walk(b.start.content, fyne.Position{}, func(o fyne.CanvasObject, _ fyne.Position) {
			switch o := o.(type) {
			case *ui.Label:
				list = append(list, o.Text)
			case *ui.Button:
				list = append(list, o.Text)
			}
		})
		return list
	}
	all := strings.Join(texts(), "\n")
	for _, want := range []string{
		"Recommended for this computer", "FLUX.2 [klein] 4B", "needs 8.5 of 23.6 GB of memory · as bf16",
		"counted: 6 min a picture",
		"free for any use (Apache-2.0)", "1 other model ›", "Choose a file…", "Choose a folder…",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the page does not say %q:\n%s", want, all)
		}
	}
	b.Model.Engine().(*fakeEngine).info.Processor = false // but a graphics card, which nobody has measured
	b.start.refresh()
	if all := strings.Join(texts(), "\n"); strings.Contains(all, "counted: ") {
		t.Errorf("the page knows the time of a card:\n%s", all)
	}
	if strings.Contains(all, "9B") {
		t.Error("the other model is not folded")
	}
	walk(b.start.content, fyne.Position{}, func(o fyne.CanvasObject, _ fyne.Position) {
		if k, ok := o.(*ui.Button); ok && k.Text == "1 other model ›" {
			k.Tapped(nil)
		}
	})
	if all := strings.Join(texts(), "\n"); !strings.Contains(all, "FLUX.2 [klein] 9B") ||
		!strings.Contains(all, "not for commercial use") ||
		!strings.Contains(all, "needs 11.0 of 23.6 GB of memory (counted) · very close") {
		t.Errorf("the other model is not shown:\n%s", all)
	}
}
