package cuda

import (
	"os"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestTune: what a rehearsal has issued is measured when memory is reserved, once, and kept for other processes.
func TestTune(t *testing.T) {
	dir := t.TempDir()
	for process := range 2 {
		b, err := New(Options{Open: OpenSoftware, ChunkBytes: chunkBytes, Choices: dir, TuneBudget: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		w := bf16Weight(t, b, "w", 0.5, 16, 16)
		r := b.Rehearsal()
		r.Begin(t.Context())
		for range 2 {
			x, y, wide := r.Alloc(8, 16, tensor.BF16), r.Alloc(8, 16, tensor.BF16), r.Alloc(8, 16, tensor.F32)
			r.Replay("step", func() { r.Linear(y, x, w, backend.Epilogue{}) })
			r.Linear(wide, x, w, backend.Epilogue{})
			r.Free(x, y, wide)
		}
		if n := len(b.rehearsed.shapes); n != 1 || b.rehearsed.shapes[0].Depth != 16 {
			t.Errorf("a rehearsal issued %v, want one shape", b.rehearsed.shapes)
		}
		b.Begin(t.Context())
		if err := b.Reserve(r.Memory()); err != nil {
			t.Fatal(err)
		}
		if missing, err := b.dev.tuner.Missing(b.rehearsed.shapes); err != nil || len(missing) != 0 {
			t.Errorf("process %d: missing %v, %v", process, missing, err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("process %d: %d files, %v, want one", process, len(files), err)
		}
		x, y := upload(b, 8, 16, 1), b.Alloc(8, 16, tensor.BF16)
		b.Linear(y, x, w, backend.Epilogue{})
		wantValues(t, b, y, 8)
		if unmeasured := b.dev.tuner.Unmeasured(); len(unmeasured) != 0 {
			t.Errorf("process %d: the run launched %v, which no rehearsal had", process, unmeasured)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
