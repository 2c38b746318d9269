package checkpoint

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/kleinbild/kleinbild/inference/checkpoint/gguf/gguftest"
)

// TestPagesOfTheTable looks at the system's list of mappings: large pages are wished for all of a file but the
// embedding table.
func TestPagesOfTheTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "qwen3.gguf")
	row := make([]float32, 4096)
	rows := func(name string, n int) gguftest.Tensor {
		return gguftest.Tensor{Name: name, Shape: []int{n, len(row)}, Data: gguftest.Floats(slices.Repeat(row, n))}
	}
	tensors, table := []gguftest.Tensor{rows("a", 8)}, rows("token_embd.weight", 64)
	mustWrite(t, path, string(gguftest.Bytes(nil, append(tensors, table))))
	set, err := openStore(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	w := &weights{set: set, path: path, refs: map[string]ref{
		embeddingName: {set: set, name: table.Name, parts: 1}, "a": {set: set, name: "a", parts: 1},
	}}
	address := func(name string) uintptr {
		t.Helper()
		x, err := w.Tensor(name)
		if err != nil {
			t.Fatal(err)
		}
		return uintptr(unsafe.Pointer(&x.Data[len(x.Data)/2]))
	}
	inTable, inOther := flagsAt(t, address(embeddingName)), flagsAt(t, address("a"))
	if !slices.Contains(inOther, "hg") {
		t.Skipf("the system takes no advice about large pages: %v", inOther)
	}
	if slices.Contains(inTable, "hg") {
		t.Errorf("the table has the flags %v, want no hg", inTable)
	}
}

// flagsAt returns the flags of the mapping at an address.
func flagsAt(t *testing.T, address uintptr) (flags []string) {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	inside := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			inside = from <= address && address < to
		}
		if rest, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && inside {
			return strings.Fields(rest)
		}
	}
	return nil
}
