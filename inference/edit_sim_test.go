package inference

import (
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

// TestPlannedMemoryOfEdits compares how much memory the software device counts in an edit with its plan. Plans of other
// edits grow with what the model sees, and a longer schedule has the same plan.
func TestPlannedMemoryOfEdits(t *testing.T) {
	e, d := openSim(t, ptxsim.Device{})
	e.info.NativeSize = 64
	requestOf := func(steps int, edit Edit, more ...Source) Request {
		a := quick("a fox")
		a.Size, a.Steps, a.Edit = nil, &steps, &edit
		a.References = append([]Source{photo(t, 100, 80)}, more...)
		return readAndResolve(t, e, a)
	}
	planOf := func(req Request) Plan {
		p, err := e.Plan(req)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	mask := disc(100, 80)
	edit := requestOf(2, Edit{Mask: mask, Strength: new(0.4)}, reference(t, 1, 64, 64))
	p := planOf(edit)
	d.opened.PeakBytes()
	if _, err := e.Generate(t.Context(), edit, nil); err != nil {
		t.Fatal(err)
	}
	checkPeak(t, "a mask and a reference", d, p)

	// An edit that does not fit cannot be made smaller.
	for name, req := range map[string]Request{
		"a mask": edit, "a strength that leaves out no step": requestOf(4, Edit{Strength: new(0.9)}),
	} {
		if text := e.fits(e.shapeOf(req), p.LeastBytes-1); !strings.Contains(text, "cannot be made smaller") {
			t.Errorf("%s: %q for an edit that does not fit", name, text)
		}
	}

	all, hidden := planOf(requestOf(2, Edit{Mask: mask})), planOf(requestOf(2, Edit{Mask: mask, Hidden: true}))
	if hidden.ActivationsBytes > all.ActivationsBytes || all.ActivationsBytes > p.ActivationsBytes ||
		hidden.ActivationsBytes == p.ActivationsBytes || all.KeptBytes >= p.KeptBytes {
		t.Errorf("%+v without image 1, %+v with it, %+v with one more: want them to grow", hidden, all, p)
	}
	known := len(e.planner.known)
	if planOf(requestOf(20, Edit{Mask: mask, Strength: new(0.5)})) != all || len(e.planner.known) != known {
		t.Error("a longer schedule is rehearsed again")
	}
}
