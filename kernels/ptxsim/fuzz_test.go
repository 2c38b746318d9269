package ptxsim

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

// FuzzLoad loads arbitrary texts, and arbitrary instructions in a valid text: LoadModule must return a module or an
// error, and must not panic.
func FuzzLoad(f *testing.F) {
	for _, row := range opcodes {
		f.Add(row.code)
	}
	files, err := filepath.Glob("testdata/bugs/*.ptx")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "mbarrier") || strings.Contains(line, "wgmma") || strings.Contains(line, "cp.async") ||
				strings.Contains(line, "mma.sync") {
				f.Add(strings.TrimSpace(line))
			}
		}
	}
	f.Fuzz(func(t *testing.T, code string) {
		c := Open(Device{Major: 9, TotalBytes: 1 << 24})
		defer c.Close()
		m, err := c.LoadModule([]byte(strings.Replace(opcodeModule(code, "r"), "sm_90", "sm_90a", 1)),
			cu.ModuleOptions{Name: "fuzz"})
		if (m == nil) == (err == nil) {
			t.Errorf("module %v and error %v", m, err)
		}
	})
}
