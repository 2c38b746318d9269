package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// longest bounds how long the longest prompt may keep the window busy. It takes less than a second on an idle machine;
// if prompts were not limited, the texts below would take minutes.
const longest = 8 * time.Second

var longTexts = map[string]string{
	"base64": strings.Repeat("iVBORw0KGgoAAAANSUhEUgAA", 192<<10/24),
	"words":  strings.Repeat("a fox in the snow, ", 64<<10/19),
	"lines":  strings.Repeat("fox\r\n", 64<<10/5),
	"spaces": "a" + strings.Repeat(" ", 64<<10),
	"greek":  strings.Repeat("αλεπού", 10000),
	"hangul": strings.Repeat("눈 속의 여우 ", 5000),
}

// TestLongTexts puts long texts into the prompt's box in every way that there is.
func TestLongTexts(t *testing.T) {
	doors := []struct {
		name    string
		options func(text string) benchOption
		enter   func(b *bench, text string)
	}{
		{"pasted", nil, func(b *bench, text string) {
			b.app.Clipboard().SetContent(text)
			b.prompt.entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: b.app.Clipboard()})
		}},
		{"stored settings", func(text string) benchOption {
			return func(*bench, *Config) { fyne.CurrentApp().Preferences().SetString("prompt", text) }
		}, func(*bench, string) {}},
		{"stored desk", func(text string) benchOption {
			return func(b *bench, cfg *Config) {
				if err := os.MkdirAll(cfg.DeskDir, 0o700); err != nil {
					b.t.Fatal(err)
				}
				desk := `{"format":1,"value":{"prompt":"` + strings.ReplaceAll(text, "\r\n", `\r\n`) + `"}}`
				if err := os.WriteFile(filepath.Join(cfg.DeskDir, "desk.json"), []byte(desk), 0o600); err != nil {
					b.t.Fatal(err)
				}
			}
		}, func(*bench, string) {}},
		{"restored", nil, func(b *bench, text string) {
			b.restore(picture.Metadata{Prompt: text, Width: 64, Height: 64}, studio.Mask{})
		}},
		{"earlier prompt", nil, func(b *bench, text string) {
			b.Album.Show([]history.Entry{{ID: 1, Picture: picture.Metadata{Prompt: text}}})
			b.prompt.recall(1)
		}},
	}
	for _, door := range doors {
		for name, text := range longTexts {
			if door.name != "pasted" && name != "base64" {
				continue // what is in the text is all the same behind the door
			}
			t.Run(door.name+" "+name, func(t *testing.T) {
				start := time.Now()
				var options []benchOption
				if door.options != nil {
					options = append(options, door.options(text))
				}
				b := newBench(t, usual, options...)
				door.enter(b, text)
				b.settle()
				if took := time.Since(start); took > longest {
					t.Errorf("took %v, want at most %v", took, longest)
				}
				if n := spaces(b.prompt.entry.Text); n > maxPrompt || n <= maxPrompt-space('눈') {
					t.Errorf("%d spaces, want %d, or so little less that no character has room", n, maxPrompt)
				}
				b.wantSaid("characters were left out")
				b.generate()
				b.until("it is made", func() bool { return len(b.engine.made()) == 1 })
			})
		}
	}
}

func TestPromptIsFull(t *testing.T) {
	b := newBench(t, usual)
	b.prompt.setText(strings.Repeat("word ", maxPrompt/5)[:maxPrompt-1] + "\r\n")
	if text := b.prompt.entry.Text; len(text) != maxPrompt || b.notice.Visible() {
		t.Fatalf("%d characters; says %q: all of it has room", len(text), b.said())
	}
	test.Type(b.prompt.entry, "x")
	b.prompt.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if len(b.prompt.entry.Text) != maxPrompt {
		t.Errorf("%d characters", len(b.prompt.entry.Text))
	}
	b.wantSaid("at most 3000 characters")
	b.prompt.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyBackspace})
	b.app.Clipboard().SetContent("yz")
	b.prompt.entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: b.app.Clipboard()})
	b.settle()
	if text := b.prompt.entry.Text; len(text) != maxPrompt || !strings.HasSuffix(text, "y") {
		t.Errorf("%d characters, ends in %q", len(text), text[len(text)-3:])
	}
	b.wantSaid("1 of the text's 2 characters")
}

// TestPromptOfOtherBytes: a text that is no prompt by inference.ParsePrompt is refused.
func TestPromptOfOtherBytes(t *testing.T) {
	b := newBench(t, usual)
	b.prompt.setText("stays")
	for name, text := range map[string]string{"Latin-1": "r\xe9f", "NUL": "a\x00b", "UTF-16": "\xff\xfea\x00"} {
		b.app.Clipboard().SetContent(text)
		b.prompt.entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: b.app.Clipboard()})
		b.settle()
		if b.prompt.entry.Text != "stays" {
			t.Errorf("%s: prompt %q", name, b.prompt.entry.Text)
		}
		b.wantSaid("cannot be a prompt")
	}
	b.app.Clipboard().SetContent("\ufeff, and\r\nmore")
	b.prompt.entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: b.app.Clipboard()})
	b.settle()
	if b.prompt.entry.Text != "stays, and\nmore" {
		t.Errorf("prompt %q", b.prompt.entry.Text)
	}
}

func TestLongTextInAField(t *testing.T) {
	b := newBench(t, usual)
	b.app.Clipboard().SetContent(longTexts["base64"])
	for _, f := range []*ui.Field{b.strip.search, b.shape.seedEntry, b.advanced.steps} {
		f.TypedShortcut(&fyne.ShortcutPaste{Clipboard: b.app.Clipboard()})
		if n := len(f.Text); n != ui.MaxFieldRunes {
			t.Errorf("%d characters, want %d", n, ui.MaxFieldRunes)
		}
	}
}

// TestShorten: a text in a menu can neither break its line nor change the direction of the text around it.
func TestShorten(t *testing.T) {
	for text, want := range map[string]string{
		"a  fox\n in snow": "a fox in snow", "fox\u202egnp.exe\x1b[2J": `fox\u202egnp.exe\x1b[2J`,
		"a long text": "a long te…",
	} {
		n := 70
		if text == "a long text" {
			n = 10
		}
		if got := shorten(text, n); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
