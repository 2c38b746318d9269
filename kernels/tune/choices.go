package tune

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/kernels"
)

// choicesFile is the content of the file in which Tune keeps measurements. They are not used on another device, driver
// or build.
type choicesFile struct {
	Device     string
	Capability string
	SMs        int
	Driver     int
	// Kernels is a hash of the kernels of the build.
	Kernels string
	Shapes  []Measurement
}

// header returns the content of the file for this device without its shapes.
func (t *Tuner) header() choicesFile {
	d := t.set.Context().Device()
	sum := sha256.Sum256(kernels.Manifest())
	return choicesFile{
		Device: d.Name, Capability: fmt.Sprintf("%d.%d", d.Major, d.Minor), SMs: d.SMs, Driver: d.DriverVersion,
		Kernels: hex.EncodeToString(sum[:8]),
	}
}

// path is the file's path in dir: there is one for each kind of card.
func (f choicesFile) path(dir string) string {
	name := strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			return unicode.ToLower(r)
		}
		return '-'
	}, f.Device)
	return filepath.Join(dir, fmt.Sprintf("kernels-%s-%d.json", name, f.SMs))
}

// maxChoicesBytes bounds the file of choices. With all shapes of a model measured it has about 100 KiB.
const maxChoicesBytes = 4 << 20

// Recall makes launches follow the measurements that Tune has kept in dir for this device, driver and build.
func (t *Tuner) Recall(dir string) { t.adopt(t.recall(dir)) }

// recall reads what keep wrote. It returns nothing if the file is damaged, or of another device, driver or build.
func (t *Tuner) recall(dir string) []Measurement {
	want := t.header()
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
		if m.Check() != nil {
			return nil
		}
	}
	return shapes
}

// keep writes all measurements. The file is replaced as a whole or not at all.
func (t *Tuner) keep(dir string) error {
	f := t.header()
	t.mu.Lock()
	f.Shapes = slices.SortedFunc(
		maps.Values(t.measurements), func(a, b Measurement) int { return compareShapes(a.Shape, b.Shape) },
	)
	t.mu.Unlock()
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
