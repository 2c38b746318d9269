package inference

import (
	"context"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/lora"
)

// LoRADir returns the folder in which adapters are looked for first.
func LoRADir() string { return checkpoint.LoRADir() }

// NamedLoRA is an adapter with its name and path.
type NamedLoRA = checkpoint.NamedLoRA

// LoRANames are the adapters in the folders for them.
type LoRANames []NamedLoRA

// ListLoRAs returns the adapters in LoRADir and in the folders of ComfyUI, Forge and SwarmUI, and the demo model's own,
// which is part of the program. It opens none of them.
func ListLoRAs(ctx context.Context) (LoRANames, error) { return checkpoint.LoRAs(ctx, os.Getenv) }

// IsEmbeddedLoRA says whether an adapter of ListLoRAs is the demo model's own.
func IsEmbeddedLoRA(l NamedLoRA) bool {
	_, ok := checkpoint.EmbeddedLoRA(l.Path)
	return ok
}

// openLoRAFile opens the adapter with a path that ListLoRAs returns, or any other file, with open.
func openLoRAFile(
	ctx context.Context, path string, open func(context.Context, string) (*lora.File, error),
) (*lora.File, error) {
	if contents, ok := checkpoint.EmbeddedLoRA(path); ok {
		return lora.FromBytes(path, contents)
	}
	return open(ctx, path)
}

// Find returns the adapter of the given name: its path below a folder without the extension, or only the last part of
// it. Upper and lower case differ only if there are both. An extension may be there.
func (l LoRANames) Find(name string) (LoRA, bool) {
	list := l.FindAll(name)
	if len(list) == 0 {
		return LoRA{}, false
	}
	return list[0], true
}

// FindDigest returns the adapter whose file has the given SHA-256, in hex. If there is none here, it looks among the
// files of beside, a folder, unless that is "". It reads whole files.
func (l LoRANames) FindDigest(ctx context.Context, digest, beside string) (found NamedLoRA, ok bool) {
	list := slices.Clone(l)
	if entries, err := os.ReadDir(beside); err == nil {
		for _, e := range entries {
			ext := strings.ToLower(filepath.Ext(e.Name()))
			if (ext == ".safetensors" || ext == ".sft") && len(list) < len(l)+maxBeside {
				name := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
				list = append(list, NamedLoRA{Name: name, Path: filepath.Join(beside, e.Name())})
			}
		}
	}
	for _, n := range list {
		if ctx.Err() != nil {
			break
		}
		if info, err := DescribeLoRA(ctx, LoRA{Path: n.Path}); err == nil && strings.EqualFold(info.Digest, digest) {
			return n, true
		}
	}
	return found, false
}

// maxBeside is how many files of a folder FindDigest reads: people have some hundred adapters.
const maxBeside = 1000

// LoRASearch says for people where adapters are looked for: "in DIR, DIR and DIR".
func LoRASearch() string {
	folders := checkpoint.LoRAFolders(os.Getenv)
	last := len(folders) - 1
	if last == 0 {
		return "in " + folders[0]
	}
	return "in " + strings.Join(folders[:last], ", ") + " and " + folders[last]
}

// FindAll returns all adapters that a name may mean, that of Find first. Adapters that PEFT has saved have one name, in
// folders of their own.
func (l LoRANames) FindAll(name string) (list []LoRA) {
	name = strings.TrimSuffix(strings.TrimSuffix(strings.ReplaceAll(name, `\`, "/"), ".safetensors"), ".sft")
	if name == "" {
		return nil
	}
	for _, same := range []func(a string) bool{
		func(a string) bool { return a == name },
		func(a string) bool { return path.Base(a) == name },
		func(a string) bool { return strings.EqualFold(a, name) },
		func(a string) bool { return strings.EqualFold(path.Base(a), name) },
	} {
		for _, n := range l {
			a := LoRA{Name: n.Name, Path: n.Path, Digest: n.Digest, Strength: 1}
			if same(n.Name) && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// The form of an adapter in a prompt is <lora:NAME> or <lora:NAME:STRENGTH>, as other programs have it.
const loraTag = "<lora:"

// TakeLoRATags takes the adapters out of a prompt that names has, and returns them with the rest of the prompt. A tag
// whose name is unknown, or whose strength is no number, stays in the text; left has it.
func TakeLoRATags(prompt string, names LoRANames) (rest string, found []LoRA, left []string) {
	var kept strings.Builder
	for {
		at := strings.Index(prompt, loraTag)
		if at < 0 {
			break
		}
		end := strings.IndexByte(prompt[at:], '>')
		if end < 0 {
			break
		}
		tag := prompt[at : at+end+1]
		before, after := prompt[:at], prompt[at+len(tag):]
		l, ok := readTag(tag, names)
		if !ok {
			left = append(left, tag)
			kept.WriteString(before + tag)
		} else {
			found = append(found, l)
			// A tag between two blanks leaves one of them.
			if strings.HasPrefix(after, " ") && (before == "" || strings.HasSuffix(before, " ")) {
				after = after[1:]
			} else if after == "" {
				before = strings.TrimSuffix(before, " ")
			}
			kept.WriteString(before)
		}
		prompt = after
	}
	return kept.String() + prompt, found, left
}

// readTag reads a tag.
func readTag(tag string, names LoRANames) (LoRA, bool) {
	name, strength, given := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(tag, loraTag), ">"), ":")
	l, ok := names.Find(name)
	if !ok || !given {
		return l, ok
	}
	var err error
	l.Strength, err = strconv.ParseFloat(strings.TrimSpace(strength), 64)
	return l, err == nil && !math.IsNaN(l.Strength) && !math.IsInf(l.Strength, 0)
}

// HasLoRATags says whether a prompt may name adapters.
func HasLoRATags(prompt string) bool { return strings.Contains(prompt, loraTag) }
