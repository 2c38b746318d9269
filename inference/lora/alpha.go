package lora

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// alphas are the alphas of a file.
type alphas struct {
	// own has the alpha of a module that the file stores as a tensor, by the module's name.
	own map[string]float64
	// config is what the metadata, or PEFT's file beside the adapter, say for all modules, or nil.
	config *peftConfig
}

// peftConfig is a LoraConfig of PEFT. Diffusers stores it in the metadata lora_adapter_metadata, PEFT itself in a file
// beside the adapter.
type peftConfig struct {
	alpha    float64
	patterns []alphaPattern // in the order of their names
	// rootRank says that the factor is alpha/√r.
	rootRank bool
}

type alphaPattern struct {
	text  string
	match *regexp.Regexp // nil if the text is no regular expression
	alpha float64
}

// metadataConfig is the key of the safetensors metadata with PEFT's config.
const metadataConfig = "lora_adapter_metadata"

// PEFT's save_pretrained writes these two files into a folder. Only the second one has the alpha.
const (
	peftAdapter    = "adapter_model.safetensors"
	peftConfigFile = "adapter_config.json"
)

func (f *File) readAlphas() (alphas, error) {
	a := alphas{own: map[string]float64{}}
	for _, m := range f.modules {
		key := m.keys[roleAlpha]
		if key == "" {
			continue
		}
		t, err := f.stat(key)
		if err != nil {
			return a, err
		}
		if tensor.Elements(t.Shape) != 1 {
			return a, f.errorf("%s: shape %v, want one number", key, t.Shape)
		}
		if m.wholeKron() {
			continue // it means nothing there, and trainers write anything
		}
		values, err := f.values(key)
		if err != nil {
			return a, err
		}
		alpha := float64(values[0])
		if err := checkAlpha(alpha); err != nil {
			return a, f.errorf("%s: %w", key, err)
		}
		a.own[m.name] = alpha
	}
	text, source := f.file.Metadata()[metadataConfig], "metadata "+metadataConfig
	if text == "" && f.config != "" {
		content, err := atomicfile.Read(f.config, maxConfigBytes)
		if err != nil {
			return a, f.errorf("the alpha of this file: %w", err)
		}
		text, source = string(content), f.config
		sum := sha256.Sum256(content)
		f.beside = hex.EncodeToString(sum[:])
	}
	if text == "" {
		return a, nil
	}
	config, err := parseConfig(text)
	if err != nil {
		return a, f.errorf("%s: %w", source, err)
	}
	a.config = config
	return a, nil
}

// configBeside returns the path of PEFT's config for the adapter at path, "" if there is none. A config that stands
// beside a file with another name belongs to another adapter.
func configBeside(path string) string {
	if filepath.Base(path) != peftAdapter {
		return ""
	}
	config := filepath.Join(filepath.Dir(path), peftConfigFile)
	if _, err := os.Stat(config); errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return config
}

func checkAlpha(alpha float64) error {
	if !(alpha > 0) || math.IsInf(alpha, 0) { // written so that NaN is refused too
		return fmt.Errorf("found alpha %v, want a positive number", alpha)
	}
	return nil
}

// parseConfig reads a LoraConfig. Its keys may begin with "transformer.". It returns nil if the config has no alpha.
func parseConfig(text string) (*peftConfig, error) {
	var values map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		return nil, fmt.Errorf("found no JSON object: %w", err)
	}
	get := func(key string) json.RawMessage {
		if v, ok := values["transformer."+key]; ok {
			return v
		}
		return values[key]
	}
	c := new(peftConfig)
	raw := get("lora_alpha")
	if raw == nil || string(raw) == "null" {
		return nil, nil
	}
	if err := json.Unmarshal(raw, &c.alpha); err != nil {
		return nil, fmt.Errorf("lora_alpha: found %.40q, want a number", raw)
	}
	if err := checkAlpha(c.alpha); err != nil {
		return nil, fmt.Errorf("lora_alpha: %w", err)
	}
	if raw := get("use_rslora"); raw != nil {
		if err := json.Unmarshal(raw, &c.rootRank); err != nil {
			return nil, fmt.Errorf("use_rslora: found %.40q, want true or false", raw)
		}
	}
	var patterns map[string]float64
	if raw := get("alpha_pattern"); raw != nil {
		if err := json.Unmarshal(raw, &patterns); err != nil {
			return nil, fmt.Errorf("alpha_pattern: found %.40q, want numbers by names", raw)
		}
	}
	if len(patterns) > maxAlphaPatterns {
		return nil, fmt.Errorf("alpha_pattern: found %d names, want at most %d", len(patterns), maxAlphaPatterns)
	}
	for text, alpha := range patterns {
		if err := checkAlpha(alpha); err != nil {
			return nil, fmt.Errorf("alpha_pattern: %.100q: %w", text, err)
		}
		if len(text) > maxPatternBytes {
			return nil, fmt.Errorf("alpha_pattern: found a name of %d bytes, want at most %d", len(text), maxPatternBytes)
		}
		p := alphaPattern{text: text, alpha: alpha}
		if strings.ContainsAny(text, `\*+?[](){}|^$`) {
			p.match, _ = regexp.Compile(`^(.*\.)?(?:` + text + `)$`) // as PEFT's get_pattern_key
		}
		c.patterns = append(c.patterns, p)
	}
	slices.SortFunc(c.patterns, func(a, b alphaPattern) int { return strings.Compare(a.text, b.text) })
	return c, nil
}

// of returns the alpha that the config gives to a module.
func (c *peftConfig) of(module string) float64 {
	for _, p := range c.patterns {
		if module == p.text || strings.HasSuffix(module, "."+p.text) || p.match != nil && p.match.MatchString(module) {
			return p.alpha
		}
	}
	return c.alpha
}

// factor returns what multiplies the product of a module of the given rank: alpha/r, or 1 if no alpha is known.
func (a alphas) factor(m module, rank int) float64 {
	if alpha, ok := a.own[m.name]; ok {
		return alpha / float64(rank)
	}
	switch c := a.config; {
	case c == nil:
		return 1
	case c.rootRank:
		return c.of(m.name) / math.Sqrt(float64(rank))
	default:
		return c.of(m.name) / float64(rank)
	}
}
