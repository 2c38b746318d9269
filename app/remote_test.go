package app

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// studioComputer is another computer of the tests.
type studioComputer struct {
	engine *fakeEngine
	asked  []Remote
	fail   error
	hold   chan struct{} // Connect waits for it; nil for no waiting

	remembered []Remote
	use        []bool
}

func newStudioComputer() *studioComputer {
	c := &studioComputer{engine: newFakeEngine()}
	c.engine.info.Remote, c.engine.info.Device = "studio.lan:7820", "NVIDIA GeForce RTX 4090"
	return c
}

// offer lets the window use the computer.
func (c *studioComputer) offer(_ *bench, cfg *Config) {
	cfg.Connect = func(ctx context.Context, r Remote) (Engine, error) {
		c.asked = append(c.asked, r)
		if c.hold != nil {
			select {
			case <-c.hold:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		if c.fail != nil {
			return nil, c.fail
		}
		return c.engine, nil
	}
	cfg.RememberRemote = func(r Remote, use bool) error {
		c.remembered, c.use = append(c.remembered, r), append(c.use, use)
		return nil
	}
}

// usedAtStart has the window use the computer from the start.
func (c *studioComputer) usedAtStart(b *bench, cfg *Config) {
	c.offer(b, cfg)
	cfg.Remote, cfg.UseRemote = Remote{Address: "https://studio.lan:7820"}, true
}

// button returns a button of the page of models.
func (b *bench) button(text string) *ui.Button {
	b.t.Helper()
	var found *ui.Button
	walk(b.start.content, fyne.Position{}, func(o fyne.CanvasObject, _ fyne.Position) {
		if k, ok := o.(*ui.Button); ok && k.Text == text {
			found = k
		}
	})
	if found == nil {
		b.t.Fatalf("the page has no button %q", text)
	}
	return found
}

// TestUseAnotherComputer goes to another computer and back, with a mistake on the way.
func TestUseAnotherComputer(t *testing.T) {
	c := newStudioComputer()
	b := newBench(t, usual, c.offer)
	own := b.Model.Engine()
	b.chooseModel()
	b.settle()
	test.Tap(b.button("Use another computer…"))
	if !b.modal.IsOpen() {
		t.Fatal("no dialog")
	}
	b.modal.Close()

	d := b.showRemoteDialog()
	d.connect()
	if len(c.asked) > 0 {
		t.Error("it connects to no address")
	}
	d.address.SetText(" https://studio.lan:7820 ")
	d.token.SetText("secret-word")
	if d.openRow.Visible() {
		t.Error("an encrypted address offers to go without encryption")
	}
	c.fail = errors.New("client: studio.lan:7820 does not accept the token, want the one in its file")
	test.Tap(d.modal.Buttons[1])
	b.settle()
	if !d.modal.IsOpen() || d.state.Text != "Studio.lan:7820 does not accept the token, want the one in its file." &&
		d.state.Text != "studio.lan:7820 does not accept the token, want the one in its file." {
		t.Errorf("open %v, it says %q", d.modal.IsOpen(), d.state.Text)
	}
	if b.Model.Engine() != own || len(c.remembered) > 0 {
		t.Error("a computer that failed is used, or remembered")
	}

	c.fail = nil
	d.token.OnSubmitted("")
	b.until("it is used", func() bool { return b.Model.Engine() == c.engine })
	b.settle()
	want := Remote{Address: "https://studio.lan:7820", Token: "secret-word"}
	if d.modal.IsOpen() || !slices.Equal(c.remembered, []Remote{want}) || !slices.Equal(c.use, []bool{true}) {
		t.Errorf("open %v, remembered %+v %v", d.modal.IsOpen(), c.remembered, c.use)
	}
	if !own.(*fakeEngine).closed {
		t.Error("the engine of this computer is left open")
	}
	if text := b.cost.model.Text; text != "FLUX.2 [klein] 4B · studio.lan:7820" {
		t.Errorf("it computes on %q", text)
	}
	b.make("a red house")
	if len(c.engine.made()) != 1 {
		t.Error("the picture was not made there")
	}
	if stored := b.Album.Entries()[0].Picture; stored.Device != c.engine.info.Device {
		t.Errorf("the history says %q", stored.Device)
	}

	b.chooseModel()
	b.settle()
	if !strings.Contains(b.pageText(), "Pictures are made by studio.lan:7820 now") {
		t.Errorf("the page says %q", b.pageText())
	}
	if k := b.button("In use"); !k.Chosen {
		t.Error("the computer is not marked")
	}
	b.engine.closed = false
	test.Tap(b.button("Use this computer again"))
	b.until("this computer", func() bool { return b.Model.Engine() == b.engine })
	b.settle()
	if !slices.Equal(c.use, []bool{true, false}) || c.remembered[1] != want {
		t.Errorf("remembered %+v %v", c.remembered, c.use)
	}
	// The address is proposed the next time, and the token need not be given again.
	d = b.showRemoteDialog()
	if d.address.Text != want.Address || d.token.Text != "" || d.token.PlaceHolder != remoteTokenKept {
		t.Errorf("proposes %q, a token %q, %q", d.address.Text, d.token.Text, d.token.PlaceHolder)
	}
	d.connect()
	b.until("it is used again", func() bool { return b.Model.Engine() == c.engine })
	if c.asked[len(c.asked)-1] != want {
		t.Errorf("asked with %+v", c.asked[len(c.asked)-1])
	}
	// A model of this computer ends it as well.
	b.session.start.use("/m/one")
	b.until("a model of this computer", func() bool { return b.Model.Engine() == b.engine })
	b.settle()
	if last := c.use[len(c.use)-1]; last {
		t.Error("the other computer would be used at the next start")
	}
}

// pageText returns the texts of the page of models.
func (b *bench) pageText() string {
	var texts []string
	walk(b.start.content, fyne.Position{}, func(o fyne.CanvasObject, _ fyne.Position) {
		switch l := o.(type) {
		case *ui.SentenceLabel:
			texts = append(texts, l.Text)
		case *ui.Label:
			texts = append(texts, l.Text)
		}
	})
	return strings.Join(texts, "\n")
}

// TestComputerThatDoesNotAnswer starts the window while the other computer is off.
func TestComputerThatDoesNotAnswer(t *testing.T) {
	c := newStudioComputer()
	c.fail = errors.New("client: studio.lan:7820 does not answer: no server runs there, or it has another port: try again")
	b := newBench(t, usual, c.usedAtStart)
	b.settle()
	if !b.start.content.Visible() || !strings.Contains(b.pageText(), "The other computer cannot be used") ||
		!strings.Contains(b.pageText(), "no server runs there") {
		t.Errorf("visible %v: %q", b.start.content.Visible(), b.pageText())
	}
	c.fail = nil
	test.Tap(b.button("Try again"))
	b.until("it is used", func() bool { return b.Model.Engine() == c.engine && !b.start.content.Visible() })
}

// TestDialogIsLeft closes the dialog while the other computer does not answer yet: its engine is not used any more.
func TestDialogIsLeft(t *testing.T) {
	c := newStudioComputer()
	b := newBench(t, usual, c.offer)
	own := b.Model.Engine()
	for _, leave := range []func(d *remoteDialog){
		func(*remoteDialog) { b.escape() },
		func(d *remoteDialog) { test.Tap(d.modal.Buttons[0]) },
	} {
		c.hold = make(chan struct{})
		d := b.showRemoteDialog()
		d.address.SetText("https://studio.lan")
		d.connect()
		d.connect() // a second press asks no second time
		if d.state.Text != "Connecting…" {
			t.Errorf("it says %q", d.state.Text)
		}
		leave(d)
		close(c.hold)
		b.settle()
		if b.Model.Engine() != own || d.modal.IsOpen() {
			t.Error("the other computer is used")
		}
	}
	if len(c.asked) != 2 {
		t.Errorf("it asked %d times, want two", len(c.asked))
	}
}

func TestUnencryptedAddress(t *testing.T) {
	for address, want := range map[string]bool{
		"": false, "studio.lan": false, "https://studio.lan": false, "http://127.0.0.1:7820": false, "http://[::1]": false,
		"http://localhost": false, "http://studio.lan": true, " HTTP://192.168.1.7:7820": true, "http://": false,
	} {
		if got := needsNoEncryption(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
	c := newStudioComputer()
	b := newBench(t, usual, c.offer)
	d := b.showRemoteDialog()
	d.address.SetText("http://192.168.1.7:7820")
	if !d.openRow.Visible() || d.open.Checked {
		t.Error("the box is not offered, or ticked by itself")
	}
	d.open.SetChecked(true)
	d.connect()
	b.settle()
	if !c.asked[0].Insecure {
		t.Error("the tick has no effect")
	}
	d = b.showRemoteDialog()
	d.address.SetText("https://192.168.1.7:7820")
	d.connect()
	b.settle()
	if c.asked[1].Insecure {
		t.Error("a tick that is out of sight has an effect")
	}
}

// cutError is a fault that passes.
type cutError struct{}

func (cutError) Error() string   { return "client: studio.lan:7820 has cut the connection: try again" }
func (cutError) Retryable() bool { return true }

// TestNothingIsLostByACut cuts the connection while a picture is made and others wait: all of them wait until the user
// tries again.
func TestNothingIsLostByACut(t *testing.T) {
	c := newStudioComputer()
	b := newBench(t, usual, c.usedAtStart)
	b.until("it is used", func() bool { return b.Model.Engine() == c.engine })
	c.engine.fail = cutError{}
	c.engine.hold = nil
	b.prompt.setText("first")
	b.shape.setCount(2)
	b.generate()
	b.prompt.setText("second")
	b.generate()
	b.until("the fault", func() bool { return b.Maker.Run() == nil })
	b.settle()
	b.wantSaid("has cut the connection: try again")
	if !b.Queue.Paused() || b.Queue.Pictures() != 4 || len(c.engine.made()) != 1 {
		t.Fatalf("paused %v, %d wait, %d tried; want all to wait", b.Queue.Paused(), b.Queue.Pictures(), len(c.engine.made()))
	}
	c.engine.fail = nil
	test.Tap(b.notice.Actions[0])
	b.until("all", func() bool { return b.Maker.Run() == nil && b.Queue.Empty() && len(b.Album.Entries()) == 4 })
}

// TestWaitingElsewhere says that other people's pictures come first.
func TestWaitingElsewhere(t *testing.T) {
	c := newStudioComputer()
	b := newBench(t, usual, c.usedAtStart)
	b.until("it is used", func() bool { return b.Model.Engine() == c.engine })
	c.engine.hold = make(chan struct{})
	b.engine.hold = c.engine.hold
	b.prompt.setText("a fox")
	b.generate()
	b.until("it runs", func() bool { return b.Maker.Run() != nil && b.Maker.Run().Progress.Step > 0 })
	run := b.Maker.Run()
	for total, want := range map[int]string{
		0: "waiting for the other computer", 1: "1 picture of others first", 3: "3 pictures of others first",
	} {
		run.Progress = inference.Progress{Stage: inference.StageQueue, Total: total}
		if got := runStatus(run); got != want {
			t.Errorf("%d: %q, want %q", total, got, want)
		}
	}
	close(c.engine.hold)
	b.until("the end", func() bool { return b.Maker.Run() == nil })
}

// TestNoticesOfAnotherComputer says whose they are.
func TestNoticesOfAnotherComputer(t *testing.T) {
	c := newStudioComputer()
	c.engine.info.Notices = []string{"a guess was made"}
	b := newBench(t, usual, c.usedAtStart)
	b.wantSaid("studio.lan:7820: A guess was made.")
	c.engine.info.Demo = true
	b.engineChanged()
	b.wantSaid("studio.lan:7820 has the demo model only")
}
