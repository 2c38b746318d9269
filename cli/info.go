package cli

import (
	"encoding/json"
	"fmt"

	"kleinbild/inference/picture"
)

// Version is the program's, set by the linker in releases.
var Version = "0.1.0-dev"

type versionCommand struct{}

func (versionCommand) Run(s Streams) error {
	_, err := fmt.Fprintln(s.Out, "kleinbild", Version)
	return err
}

type infoCommand struct {
	File string `arg:"" help:"A PNG made by Kleinbild."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c infoCommand) Run(s Streams) error {
	m, err := picture.ReadMetadataFile(c.File)
	if err != nil {
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(s.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(m)
	}
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
		rows = append(rows, [2]string{fmt.Sprintf("image %d", i+1), fmt.Sprintf("%s (SHA-256 %s)", r.Path, r.SHA256)})
	}
	rows = append(rows, [2]string{"version", m.Version})
	return printRows(s.Out, rows)
}
