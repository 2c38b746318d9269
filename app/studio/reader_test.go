package studio

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// onDesk says what the slots hold: the names of files, in brackets until they are read.
func (r *rig) onDesk() string {
	var list []string
	for _, s := range r.Desk.Desk().Slots {
		name := s.Name()
		if s.Ref == nil {
			name = "[" + name + "]"
		}
		list = append(list, name)
	}
	return strings.Join(list, " ")
}

func (r *rig) wantOnDesk(want string) {
	r.t.Helper()
	r.until("the pictures are read", func() bool { return !r.Desk.Desk().Reading() })
	if got := r.onDesk(); got != want {
		r.t.Errorf("on the desk: %s, want %s", got, want)
	}
}

// files writes pictures of a name each, and returns their paths.
func (r *rig) files(names ...string) (paths []string) {
	for i, name := range names {
		paths = append(paths, filepath.Join(r.dir, name))
		if err := os.WriteFile(paths[i], pngFile(r.t, uint8(20+i)), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	return paths
}

func (r *rig) fill(number int, paths ...string) (replaced, left int) {
	r.Desk.Choose(func(d *Desk) { replaced, left = d.Fill(number, paths) })
	return replaced, left
}

func TestFill(t *testing.T) {
	slots := func(names string) (list []Slot) {
		for _, name := range strings.Fields(names) {
			list = append(list, Slot{Path: name})
		}
		return list
	}
	for _, row := range []struct {
		name           string
		there          string
		number         int
		files          string
		want           string
		replaced, left int
	}{
		{"an empty desk", "", 0, "a b", "a b", 0, 0},
		{"behind the others", "a", 0, "b", "a b", 0, 0},
		{"one replaced", "a b", 1, "c", "c b", 1, 0},
		{"one replaced, one behind", "a b", 2, "c d", "a c d", 2, 0},
		{"an empty slot", "a", 4, "b", "a b", 0, 0},
		{"too many", "a b c", 0, "d e f", "a b c d", 0, 2},
		{"replaced on a full desk", "a b c d", 3, "e f", "a b e d", 3, 1},
	} {
		before := slots(row.there)
		d := Desk{Slots: before}
		replaced, left := d.Fill(row.number, strings.Fields(row.files))
		var got []string
		for _, s := range d.Slots {
			got = append(got, s.Path)
		}
		if strings.Join(got, " ") != row.want || replaced != row.replaced || left != row.left {
			t.Errorf("%s: %v, replaced %d, %d left", row.name, got, replaced, left)
		}
		for i, s := range slots(row.there) {
			if before[i] != s {
				t.Errorf("%s: the desk before has changed", row.name)
			}
		}
	}
}

func TestReader(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	paths := r.files("a.png", "b.png", "c.png")
	var numbers []int
	failed := ""
	r.Reader.Read.Subscribe(func(p ReadPicture) { numbers = append(numbers, p.Number) })
	r.Reader.Failed.Subscribe(func(u UnreadPicture) { failed = u.Slot.Name() + ": " + u.Err.Error() })

	r.fill(0, paths[0], paths[1])
	if got := r.onDesk(); got != "[a.png] [b.png]" {
		t.Errorf("at first: %s", got)
	}
	r.wantOnDesk("a.png b.png")
	if len(numbers) != 2 || numbers[0]+numbers[1] != 3 || r.Desk.Steps() != 1 {
		t.Errorf("told of %v, %d steps, want one", numbers, r.Desk.Steps())
	}
	a := r.Desk.Desk().Slots[0]
	if a.Digest != Digest(pngFile(t, 20)) {
		t.Errorf("digest %s", a.Digest)
	}

	r.fill(1, paths[2]) // and before it is read, another one
	r.fill(1, paths[1])
	r.wantOnDesk("b.png b.png")
	r.Desk.Undo()
	r.Desk.Undo()
	if r.wantOnDesk("a.png b.png"); r.Desk.Desk().Slots[0].Ref != a.Ref {
		t.Error("a picture that was read is read again")
	}

	r.Desk.Lay(Desk{Slots: []Slot{{Path: a.Path, Digest: a.Digest}}}) // as it comes from a file
	if got := r.Desk.Desk().Slots[0].Ref; got != a.Ref {
		t.Error("a picture that is in its place is read again")
	}
	r.fill(0, paths[1])
	r.wantOnDesk("a.png b.png")

	r.fill(1, paths[2]) // and given up, and wanted again
	r.Desk.Undo()
	r.Desk.Redo()
	r.wantOnDesk("c.png b.png")
	r.Desk.Undo()
	r.wantOnDesk("a.png b.png")

	bad := filepath.Join(r.dir, "bad.png")
	if err := os.WriteFile(bad, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.fill(1, bad)
	r.wantOnDesk("b.png")
	if !strings.HasPrefix(failed, "bad.png: ") {
		t.Errorf("failed: %q", failed)
	}
	r.Desk.Undo()
	r.wantOnDesk("a.png b.png")

	r.Desk.Choose(func(d *Desk) { d.Swap(1, 2) })
	r.Desk.Choose(func(d *Desk) { d.Empty(1) })
	r.wantOnDesk("a.png")
	r.Desk.Undo()
	r.Desk.Undo()
	r.wantOnDesk("a.png b.png")
}

// TestPasted: a picture that lies in no file is there after a restart, if there is a place to keep it.
func TestPasted(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct {
		name string
		dir  string
	}{{"kept", filepath.Join(dir, "desk")}, {"nowhere to keep it", ""}} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, dir, &painter{})
			if _, _, err := r.Keeper.Open(row.dir); err != nil {
				t.Fatal(err)
			}
			r.Reader.Paste(pngFile(t, 7))
			r.wantOnDesk("pasted picture")
			if row.dir == "" {
				return
			}
			r.Keeper.Last()
			r.Loop.Close()
			again := newRig(t, dir, &painter{})
			desk, ok, err := again.Keeper.Open(row.dir)
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			again.Desk.Lay(desk)
			again.wantOnDesk("pasted picture")
			again.Keeper.Last()
		})
	}
}
