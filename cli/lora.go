package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// loras adds the adapters of --lora, of the prompt and of the picture of --like to ask. Those of --lora or of a new
// prompt replace those of --like.
func (c *generateCommand) loras(ctx context.Context, b *batch, ask *inference.Ask) error {
	inPrompt := c.Prompt != nil && inference.HasLoRATags(ask.Prompt)
	like := b.like != nil && len(c.LoRA) == 0 && len(b.like.LoRAs) > 0
	if len(c.LoRA) == 0 && !inPrompt && !like {
		return nil
	}
	names, err := b.names(ctx)
	if err != nil {
		return err
	}
	find, findEarlier := loraFlag, c.earlierLoRA
	if b.remote.Address != "" {
		find = remoteLoRAFlag
		findEarlier = func(
			ctx context.Context, file picture.LoRAFile, names inference.LoRANames,
		) (inference.LoRA, error) {
			return c.earlierRemoteLoRA(ctx, b.remote, file, names)
		}
	}
	for _, text := range c.LoRA {
		l, err := find(text, names)
		if err != nil {
			return err
		}
		ask.LoRAs = append(ask.LoRAs, l)
	}
	if inPrompt {
		var found []inference.LoRA
		var left []string
		ask.Prompt, found, left = inference.TakeLoRATags(ask.Prompt, names)
		ask.LoRAs = append(ask.LoRAs, found...)
		for _, tag := range left {
			where := "in the folders that kleinbild lora list shows"
			if b.remote.Address != "" {
				where = "on the other computer"
			}
			b.notes = append(b.notes, fmt.Sprintf("%s stays in the prompt as text: no such LoRA is %s", tag, where))
		}
	}
	if like && len(ask.LoRAs) == 0 {
		for _, file := range b.like.LoRAs {
			l, err := findEarlier(ctx, file, names)
			if err != nil {
				return err
			}
			ask.LoRAs = append(ask.LoRAs, l)
		}
	}
	return nil
}

// loraNames returns the adapters that can be named: those of this computer, or of the one that makes the pictures.
func (b *batch) loraNames(ctx context.Context) (inference.LoRANames, error) {
	if b.remote.Address == "" {
		return inference.ListLoRAs(ctx)
	}
	engine, err := OpenRemote(ctx, b.remote)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	if e, ok := engine.(inference.Adapting); ok {
		return e.LoRAs(ctx)
	}
	return nil, nil
}

// remoteLoRAFlag reads a value of --lora with --server: the name of an adapter of the other computer.
func remoteLoRAFlag(text string, names inference.LoRANames) (inference.LoRA, error) {
	name, strength := splitLoRA(text, false, func(string) bool { return false })
	l, ok := findRemote(name, names)
	if !ok {
		return l, usagef("--lora %s: the other computer has no LoRA of that name, and takes no files from here: want one of "+
			"the names that GET /v1/loras lists there", text)
	}
	l.Strength = strength
	return l, nil
}

// findRemote finds an adapter of the other computer. If there are no names at all, that computer may be one that takes
// no adapters: its engine says so when it is asked for this one.
func findRemote(name string, names inference.LoRANames) (inference.LoRA, bool) {
	if len(names) == 0 {
		return inference.LoRA{Name: name}, true
	}
	return names.Find(name)
}

// loraFlag reads a value of --lora.
func loraFlag(text string, names inference.LoRANames) (inference.LoRA, error) {
	file, strength := splitLoRA(text, runtime.GOOS == "windows", isFile)
	l, named := names.Find(file)
	if looksLikePath(file) || isFile(file) {
		path, err := filepath.Abs(file)
		if err != nil {
			return l, err
		}
		l = inference.LoRA{Path: path}
	} else if !named {
		return l, usagef("--lora %s: found neither a file nor a name, want a file or one of the names that kleinbild lora "+
			"list shows", text)
	}
	l.Strength = strength
	return l, nil
}

// splitLoRA splits FILE[:STRENGTH]. A colon in the name of a file that exists, or behind the letter of a drive, is no
// strength.
func splitLoRA(text string, windows bool, exists func(string) bool) (file string, strength float64) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 || exists(text) || windows && at == 1 && isLetter(text[0]) {
		return text, 1
	}
	strength, err := strconv.ParseFloat(text[at+1:], 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // a number that is too large is refused by its field
		return text, 1
	}
	return text[:at], strength
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// looksLikePath says whether a value is the path of a file, which then has to exist, and not a name.
func looksLikePath(text string) bool {
	ext := strings.ToLower(filepath.Ext(text))
	return filepath.IsAbs(text) || strings.HasPrefix(text, ".") || ext == ".safetensors" || ext == ".sft"
}

// earlierRemoteLoRA finds an adapter of the picture of --like by its name on the other computer, which compares its
// digest. A picture knows only the last part of a name: if several adapters there have it, the one with the digest is
// taken.
func (c *generateCommand) earlierRemoteLoRA(
	ctx context.Context, remote Remote, file picture.LoRAFile, names inference.LoRANames,
) (inference.LoRA, error) {
	l, ok := findRemote(file.Name, names)
	if !ok {
		return l, fmt.Errorf("%s: the other computer has no LoRA %s, want the file with SHA-256 %s in its folders, or "+
			"--lora with a name that it has", c.Like, file.Name, file.SHA256)
	}
	l.Strength, l.Digest = file.Strength, file.SHA256
	if all := names.FindAll(file.Name); len(all) > 1 {
		engine, err := OpenRemote(ctx, remote)
		if err != nil {
			return l, err
		}
		defer engine.Close()
		e, ok := engine.(inference.Adapting)
		for _, other := range all {
			if !ok {
				break
			}
			other.Strength, other.Digest = l.Strength, l.Digest
			if _, err := e.LoRA(ctx, other); err == nil {
				return other, nil
			} else if ctx.Err() != nil {
				return l, context.Cause(ctx)
			}
		}
	}
	return l, nil
}

// earlierLoRA finds an adapter of the picture of --like: by its name in the folders for adapters, or as a file beside
// the picture or in the working directory, or by its digest under another name in those folders. The digest is compared
// again when the file is opened.
func (c *generateCommand) earlierLoRA(
	ctx context.Context, file picture.LoRAFile, names inference.LoRANames,
) (inference.LoRA, error) {
	found := names.FindAll(file.Name)
	base := filepath.Base(filepath.FromSlash(file.Name)) // a stranger's picture names no folder
	for _, dir := range []string{filepath.Dir(c.Like), "."} {
		for _, ext := range []string{".safetensors", ".sft"} {
			path, err := filepath.Abs(filepath.Join(dir, base+ext))
			if err != nil {
				return inference.LoRA{}, err
			}
			if isFile(path) {
				found = append(found, inference.LoRA{Path: path})
			}
		}
	}
	has := func(l inference.LoRA) bool {
		info, err := inference.DescribeLoRA(ctx, l)
		return err == nil && strings.EqualFold(info.Digest, file.SHA256)
	}
	var l inference.LoRA
	if i := slices.IndexFunc(found, has); i >= 0 {
		l = found[i]
	} else if n, ok := names.FindDigest(ctx, file.SHA256, ""); ok {
		l.Path = n.Path // it has another name now
	} else if len(found) > 0 {
		l = found[0] // opening it says which digest it has
	} else {
		return l, fmt.Errorf("%s: its LoRA %s was not found %s, nor beside the picture, under any name: want the file "+
			"with SHA-256 %s; give it with --lora", c.Like, file.Name, inference.LoRASearch(), file.SHA256)
	}
	l.Name, l.Strength, l.Digest = file.Name, file.Strength, file.SHA256
	return l, nil
}

// tellLoRAs prints how each adapter fits the model. A file that does not fit is refused here, before anything is
// computed.
func (b *batch) tellLoRAs(ctx context.Context, w io.Writer, engine inference.Generator) error {
	e, ok := engine.(inference.Adapting)
	if !ok {
		return nil
	}
	var infos []inference.LoRAInfo
	for _, l := range b.checked.LoRAs() {
		info, err := e.LoRA(ctx, l)
		if err != nil {
			return err
		}
		infos = append(infos, info)
	}
	for i, l := range b.checked.LoRAs() {
		fmt.Fprintf(w, "LoRA %s at %v: %v\n", infos[i].Name, l.Strength, infos[i])
	}
	return nil
}

type loraCommand struct {
	List loraList     `cmd:"" help:"Show the names of the adapters in the folders for them."`
	Info loraInfoFlag `cmd:"" help:"Show what an adapter is, and how it fits the model."`
}

type loraList struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run prints a name on each line.
func (c loraList) Run(ctx context.Context, s Streams) error {
	names, err := inference.ListLoRAs(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		type row struct {
			Name string `json:"name"`
			Path string `json:"path"`
		}
		rows := []row{}
		for _, n := range names {
			rows = append(rows, row{n.Name, n.Path})
		}
		return writeJSON(s.Out, rows, "  ")
	}
	if !slices.ContainsFunc(names, func(n inference.NamedLoRA) bool { return !inference.IsEmbeddedLoRA(n) }) {
		fmt.Fprintf(s.Err, "note: no LoRA was found in %s, nor in the folders of ComfyUI, Forge and SwarmUI: this one is "+
			"part of the program\n", inference.LoRADir())
	}
	for _, n := range names {
		if _, err := fmt.Fprintln(s.Out, n.Name); err != nil {
			return err
		}
	}
	return nil
}

type loraInfoFlag struct {
	File string `arg:"" help:"A file, or a name that lora list shows."`
	JSON bool   `name:"json" help:"Print JSON."`
	modelFlags
}

// loraReport is the JSON of lora info.
type loraReport struct {
	Name     string   `json:"name"`
	Kinds    string   `json:"kinds"`
	Ranks    []int    `json:"ranks,omitempty"` // the lowest and the highest
	Trainer  string   `json:"trainer"`
	Title    string   `json:"title,omitempty"`
	Base     string   `json:"base,omitempty"`
	Triggers []string `json:"triggers,omitempty"`
	SHA256   string   `json:"sha256"`
	Model    string   `json:"model,omitempty"` // the one that it was compared with
	Matched  int      `json:"matched"`
	Total    int      `json:"total"`
	Left     string   `json:"left,omitempty"`
	Problem  string   `json:"problem,omitempty"` // why it does not fit the model
}

// Run describes the file, and compares it with the model that would be used.
func (c loraInfoFlag) Run(ctx context.Context, s Streams) error {
	names, err := inference.ListLoRAs(ctx)
	if err != nil {
		return err
	}
	l, err := loraFlag(c.File, names)
	if err != nil {
		return err
	}
	info, err := inference.DescribeLoRA(ctx, l)
	if err != nil {
		return err
	}
	r := loraReport{
		Name: info.Name, Kinds: info.Kinds, Trainer: info.Trainer, Title: info.Title, Base: info.Base,
		Triggers: info.Triggers, SHA256: info.Digest, Total: info.Layers,
	}
	if info.HighestRank > 0 {
		r.Ranks = []int{info.LowestRank, info.HighestRank}
	}
	options, err := c.modelFlags.options()
	if err != nil {
		return err
	}
	engine, err := inference.Open(ctx, options)
	if err != nil {
		return err
	}
	defer engine.Close()
	r.Model = engine.Info().Model
	if fits, err := engine.LoRA(ctx, l); err != nil {
		r.Problem = oneLine(err)
	} else {
		r.Matched, r.Left = fits.Matched, fits.Left
	}
	if c.JSON {
		return writeJSON(s.Out, r, "  ")
	}
	return printRows(s.Out, r.rows())
}

// rows returns the report as rows for people.
func (r loraReport) rows() [][2]string {
	rows := [][2]string{{"name", r.Name}, {"kind", r.Kinds}}
	add := func(what, value string) {
		if value != "" {
			rows = append(rows, [2]string{what, value})
		}
	}
	switch {
	case len(r.Ranks) == 0:
	case r.Ranks[0] == r.Ranks[1]:
		add("rank", strconv.Itoa(r.Ranks[0]))
	default:
		add("rank", fmt.Sprintf("%d to %d", r.Ranks[0], r.Ranks[1]))
	}
	add("trainer", r.Trainer)
	add("title", r.Title)
	add("base", r.Base)
	add("trigger words", strings.Join(r.Triggers, ", "))
	add("SHA-256", r.SHA256)
	add("model", r.Model)
	add("layers", fmt.Sprintf("%d of %d", r.Matched, r.Total))
	add("left out", strings.TrimPrefix(r.Left, "not applied: "))
	add("does not fit", r.Problem)
	return rows
}
