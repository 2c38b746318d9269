package cli

import (
	"fmt"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// Version is the version of the program, which main reads from the file VERSION.
var Version = "unknown"

type versionCommand struct{}

func (versionCommand) Run(s Streams) error {
	_, err := fmt.Fprintln(s.Out, "kleinbild", Version)
	return err
}

type infoCommand struct {
	File string `arg:"" help:"${info_file_help}"`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c infoCommand) Run(s Streams) error {
	origin, err := picture.ReadOriginFile(c.File)
	if err != nil {
		return err
	}
	if c.JSON {
		if origin.Complete {
			return writeJSON(s.Out, origin.Metadata, "  ")
		}
		return writeJSON(s.Out, newForeignReport(origin), "  ")
	}
	if !origin.Complete {
		return printRows(s.Out, foreignRows(origin))
	}
	m := origin.Metadata
	rows := [][2]string{
		{"prompt", m.Prompt},
		{"seed", fmt.Sprint(m.Seed)},
		{"size", fmt.Sprintf("%dx%d", m.Width, m.Height)},
		{"steps", fmt.Sprint(m.Steps)},
		{"guidance", fmt.Sprint(m.Guidance)},
		{"model", m.Model + " (" + m.Variant + ")"},
		{"digest", m.ModelDigest},
		{"precision", m.Precision},
		{"device", m.Device},
		{"text tokens", fmt.Sprint(m.MaxSequenceLength)},
	}
	for i, r := range m.References {
		file := fmt.Sprintf("%s (SHA-256 %s)", r.Path, r.SHA256)
		if text := r.Arrangement.String(); text != "" {
			file += ", " + text
		}
		rows = append(rows, [2]string{fmt.Sprintf("image %d", i+1), file})
	}
	rows = append(rows, editRows(m.Edit)...)
	for _, l := range m.LoRAs {
		rows = append(rows, [2]string{"LoRA", fmt.Sprintf("%s at %v (SHA-256 %s)", l.Name, l.Strength, l.SHA256)})
	}
	if u := m.Upscale; u != nil {
		size := picture.Size{Width: u.Width, Height: u.Height}
		rows = append(rows, [2]string{"enlarged", fmt.Sprintf("to %v by %s (SHA-256 %s)", size, u.Model, u.SHA256)})
		if r := u.Refine; r != nil {
			rows = append(rows, [2]string{"refined", fmt.Sprintf("by %s (SHA-256 %s), strength %v, %d steps, seed %d: %s",
				r.Model, r.ModelDigest, r.Strength, r.Steps, r.Seed, r.Prompt)})
		}
	}
	rows = append(rows, [2]string{"version", m.Version})
	return printRows(s.Out, rows)
}

// foreignReport is the JSON for a picture of another program: what Kleinbild has understood of its metadata.
type foreignReport struct {
	Program        string   `json:"program"`
	Prompt         string   `json:"prompt"`
	NegativePrompt string   `json:"negative_prompt,omitempty"`
	Seed           *uint64  `json:"seed,omitempty"`
	Steps          int      `json:"steps,omitempty"`
	Width          int      `json:"width,omitempty"`
	Height         int      `json:"height,omitempty"`
	Notes          []string `json:"notes,omitempty"`
	Ignored        []string `json:"ignored,omitempty"`
}

func newForeignReport(o picture.Origin) foreignReport {
	r := foreignReport{
		Program: o.Program, Prompt: o.Prompt, NegativePrompt: o.NegativePrompt, Steps: o.Steps,
		Width: o.Width, Height: o.Height, Notes: o.Notes, Ignored: o.Ignored,
	}
	if o.HasSeed {
		r.Seed = &o.Seed
	}
	return r
}

// foreignRows returns a row for each setting that the picture has, and for each one that was ignored.
func foreignRows(o picture.Origin) [][2]string {
	rows := [][2]string{{"program", o.Program}, {"prompt", o.Prompt}}
	add := func(name, value string, there bool) {
		if there {
			rows = append(rows, [2]string{name, value})
		}
	}
	add("negative prompt", o.NegativePrompt, o.NegativePrompt != "")
	add("seed", fmt.Sprint(o.Seed), o.HasSeed)
	add("size", picture.Size{Width: o.Width, Height: o.Height}.String(), o.Width != 0)
	add("steps", fmt.Sprint(o.Steps), o.Steps != 0)
	for _, note := range o.Notes {
		add("note", note, true)
	}
	for _, setting := range o.Ignored {
		add("ignored", setting, true)
	}
	return rows
}
