package app

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/plain"
)

// explain says an error in one sentence for the user, without the names of packages.
func explain(err error) string {
	if err == nil {
		return ""
	}
	var field inference.FieldError
	if errors.As(err, &field) {
		return sentence(fieldText(field))
	}
	text := plain.Text(err)
	if plain.Full(err) {
		text = "the disk is full: free some space, then try again"
	}
	for _, room := range []string{
		"picture: ", "inference: ", "checkpoint: ", "history: ", "thumbnail: ",
		"studio: ", "bin: ", "clipboard: ", "dialog: ", "client: ",
	} {
		text = strings.ReplaceAll(text, room, "")
	}
	return sentence(ui.FirstRunes(strings.ReplaceAll(text, "\n", "; "), maxExplained))
}

// fieldText says in the window's words what is wrong with a field.
func fieldText(e inference.FieldError) string {
	switch e.Field {
	case inference.FieldPrompt: // admit, which reports this error, names the prompt before it
		return fmt.Sprintf("found %s, want %s", e.Got, e.Want)
	case inference.FieldSeed:
		return fmt.Sprintf("the seed has to be a whole number such as 42, %s is none: the dice draw one", e.Got)
	}
	if name := controls[e.Field]; name != "" {
		return fmt.Sprintf("%s: found %s, want %s", name, e.Got, e.Want)
	}
	return fmt.Sprintf("the %s: found %s, want %s", e.Field, e.Got, e.Want)
}

// controls are the names that the window gives to fields, if they are not the engine's.
var controls = map[inference.Field]string{
	inference.FieldExtend: "“Extend by”", inference.FieldFeather: "“Soft edge”", inference.FieldHidden: "“Image 1”",
	inference.FieldMatchColours: "“Colours”", inference.FieldKeepUnchanged: "“Keep rest”",
}

// maxExplained bounds what a notice says: an error may hold a list of files.
const maxExplained = 1500

// sentence gives a text its capital and full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	r := []rune(text)
	// A path keeps its case.
	if !strings.ContainsAny(strings.Fields(text + " ")[0], `/\.`) {
		r[0] = []rune(strings.ToUpper(string(r[0])))[0]
	}
	if last := r[len(r)-1]; last != '.' && last != '!' && last != '?' {
		r = append(r, '.')
	}
	return string(r)
}

// shorten cuts a text to one line of at most n runes.
func shorten(text string, n int) string {
	r := []rune(plain.Printable(strings.Join(strings.Fields(text), " ")))
	if len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return string(r)
}

// roughly says a duration as people do.
func roughly(d time.Duration) string {
	switch s := d.Seconds(); {
	case s < 1:
		return "1 s"
	case s < 90:
		return fmt.Sprintf("%.0f s", s)
	case s < 90*60:
		return fmt.Sprintf("%.0f min", s/60)
	default:
		return fmt.Sprintf("%.1f h", s/3600)
	}
}

// gigabytes writes a number of bytes in GB, without the unit.
func gigabytes(n int64) string { return fmt.Sprintf("%.1f", float64(n)/1e9) }

// waitText says how many pictures wait.
func waitText(n int) string {
	if n == 1 {
		return "1 picture waits"
	}
	return fmt.Sprintf("%d pictures wait", n)
}

// pictureCount counts pictures in words.
func pictureCount(n int) string {
	if n == 1 {
		return "1 picture"
	}
	return fmt.Sprintf("%d pictures", n)
}

// times writes a size as 1024 × 768.
func times(s picture.Size) string { return fmt.Sprintf("%d × %d", s.Width, s.Height) }
