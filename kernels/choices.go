package kernels

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"kleinbild/atomicfile"
)

//go:embed ptx/MANIFEST
var manifest []byte

// choicesFile is what Tune keeps. Measurements of another device, driver or build are worth nothing.
type choicesFile struct {
	Device     string
	Capability string
	SMs        int
	Driver     int
	// Kernels is the hash of what the build has of them.
	Kernels string
	Shapes  []Measurement
}

// header is the file for this device without its shapes.
func (s *Set) header() choicesFile {
	d := s.ctx.Device()
	sum := sha256.Sum256(manifest)
	return choicesFile{Device: d.Name, Capability: fmt.Sprintf("%d.%d", d.Major, d.Minor), SMs: d.SMs, Driver: d.DriverVersion, Kernels: hex.EncodeToString(sum[:8])}
}

// path is one file for each kind of card.
func (f choicesFile) path(dir string) string {
	name := strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return unicode.ToLower(r)
		}
		return '-'
	}, f.Device)
	return filepath.Join(dir, fmt.Sprintf("kernels-%s-%d.json", name, f.SMs))
}

// maxChoicesBytes bounds the file of choices; that of a card with all shapes measured has some 100 KiB.
const maxChoicesBytes = 4 << 20

// recall reads what keep wrote; nothing where the file is damaged, or of another device, driver or build.
func (s *Set) recall(dir string) []Measurement {
	want := s.header()
	text, err := atomicfile.Read(want.path(dir), maxChoicesBytes)
	if err != nil {
		return nil
	}
	var found choicesFile
	if json.Unmarshal(text, &found) != nil {
		return nil
	}
	shapes := found.Shapes
	found.Shapes = nil
	if fmt.Sprint(found) != fmt.Sprint(want) {
		return nil
	}
	for _, m := range shapes {
		if m.check() != nil {
			return nil
		}
	}
	return shapes
}

// keep writes all that is known, whole or not at all.
func (s *Set) keep(dir string) error {
	f := s.header()
	s.tuning.mu.Lock()
	f.Shapes = slices.SortedFunc(maps.Values(s.tuning.all), func(a, b Measurement) int { return compareShapes(a.Shape, b.Shape) })
	s.tuning.mu.Unlock()
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return fmt.Errorf("tune: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("tune: keep choices: %w", err)
	}
	if err := atomicfile.Write(f.path(dir), text, 0o644); err != nil {
		return fmt.Errorf("tune: keep choices: %w", err)
	}
	return nil
}
