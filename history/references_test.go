package history

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kleinbild/kleinbild/inference/picture"
)

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// put writes a file and returns its path.
func put(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindReference(t *testing.T) {
	dir := t.TempDir()
	at := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	s := At(at("data", "history.db"), nil) // creates the folder
	away := put(t, at("photos", "garden.jpg"), "garden")
	put(t, at("beside", "house.jpg"), "house")
	put(t, at("beside", "tree.jpg"), "another tree")
	put(t, at("here", "tree.jpg"), "tree")
	put(t, at("here", "sea.jpg"), "another sea")
	if err := s.Remember([]picture.ReferenceFile{{Path: away, SHA256: digest("garden")},
		{Path: "relative.jpg", SHA256: digest("x")}, {Path: away, SHA256: "no digest"}}); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		store  *Store
		ref    picture.ReferenceFile
		want   string
		reason string
	}{
		{"remembered", s, picture.ReferenceFile{Path: "garden.jpg", SHA256: digest("garden")}, away, ""},
		{"remembered under another name", s, picture.ReferenceFile{Path: "renamed.jpg", SHA256: digest("garden")}, away, ""},
		{"beside the picture", s, picture.ReferenceFile{Path: "house.jpg", SHA256: digest("house")},
			at("beside", "house.jpg"), ""},
		{"in the second folder, with another file in the first", s,
			picture.ReferenceFile{Path: "tree.jpg", SHA256: digest("tree")},
			at("here", "tree.jpg"), ""},
		{"an absolute path, as earlier versions wrote", s, picture.ReferenceFile{Path: away, SHA256: digest("garden")}, away,
			""},
		{"an absolute path that is gone", s, picture.ReferenceFile{Path: at("gone", "house.jpg"), SHA256: digest("house")},
			at("beside", "house.jpg"), ""},
		{"an absolute path of Windows", s, picture.ReferenceFile{Path: `C:\photos\house.jpg`, SHA256: digest("house")},
			at("beside", "house.jpg"), ""},
		{"no store", nil, picture.ReferenceFile{Path: "house.jpg", SHA256: digest("house")}, at("beside", "house.jpg"), ""},
		{"a store that cannot be read", At(filepath.Join(away, "history.db"), nil),
			picture.ReferenceFile{Path: "house.jpg", SHA256: digest("house")}, at("beside", "house.jpg"), ""},
		{"changed", s, picture.ReferenceFile{Path: "sea.jpg", SHA256: digest("sea")}, "", "has changed"},
		{"nowhere", s, picture.ReferenceFile{Path: "moon.jpg", SHA256: digest("moon")}, "", "reference moon.jpg (SHA-256 "},
		{"pasted", s, picture.ReferenceFile{SHA256: digest("pasted")}, "", "a picture that was pasted"},
		{"without a digest", s, picture.ReferenceFile{Path: "house.jpg"}, "", "not found"},
		{"out of the folders", s, picture.ReferenceFile{Path: "..", SHA256: digest("x")}, "", "not found"},
	} {
		got, err := row.store.FindReference(context.Background(), row.ref, at("beside"), at("here"))
		if got != row.want || (err == nil) != (row.reason == "") {
			t.Errorf("%s: %q, %v, want %q", row.name, got, err, row.want)
		}
		var missing *MissingReference
		if err != nil && (!errors.As(err, &missing) || !strings.Contains(err.Error(), row.reason)) {
			t.Errorf("%s: %v, want %q", row.name, err, row.reason)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	garden := picture.ReferenceFile{Path: "garden.jpg", SHA256: digest("garden")}
	if _, err := s.FindReference(cancelled, garden); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestReferencesOfPictures checks that Add stores the paths of an entry's references, and that the latest path of a
// digest is found.
func TestReferencesOfPictures(t *testing.T) {
	dir := t.TempDir()
	s := At(filepath.Join(dir, "history.db"), nil)
	name := "f\xfcchse.jpg" // not UTF-8
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		name = "füchse.jpg"
	}
	first, second := put(t, filepath.Join(dir, "a", name), "fox"), put(t, filepath.Join(dir, "b", "moved.jpg"), "fox")
	for _, path := range []string{second, first} {
		ref := picture.ReferenceFile{Path: path, SHA256: digest("fox")}
		s.Add(Entry{Path: path, Picture: picture.Metadata{References: []picture.ReferenceFile{ref}}})
		got, err := s.FindReference(context.Background(), picture.ReferenceFile{SHA256: digest("fox")})
		if err != nil || got != path {
			t.Errorf("%q, %v, want %q", got, err, path)
		}
	}
	list := s.List()
	if len(list) != 2 || list[0].Path != first || list[0].Picture.References[0].Path != first {
		t.Errorf("%+v, want the path byte for byte", list)
	}
}

// TestMasksOfPictures checks that Add stores the path of the mask of an entry's edit, too.
func TestMasksOfPictures(t *testing.T) {
	dir := t.TempDir()
	s := At(filepath.Join(dir, "history.db"), nil)
	path := put(t, filepath.Join(dir, "masks", "sky.png"), "sky")
	file := picture.ReferenceFile{Path: path, SHA256: digest("sky")}
	s.Add(Entry{Path: path, Picture: picture.Metadata{Edit: &picture.Edit{Mask: &picture.Mask{File: file}}}})
	got, err := s.FindReference(context.Background(), picture.ReferenceFile{SHA256: file.SHA256})
	if err != nil || got != path {
		t.Errorf("%q, %v, want %q", got, err, path)
	}
}

func TestReferencesAreBounded(t *testing.T) {
	s := At(filepath.Join(t.TempDir(), "history.db"), nil)
	path, err := filepath.Abs("x.jpg")
	if err != nil {
		t.Fatal(err)
	}
	all := make([]picture.ReferenceFile, maxReferences+10)
	for i := range all {
		all[i] = picture.ReferenceFile{Path: path, SHA256: digest(fmt.Sprint(i))}
	}
	old, recent := all[:10], all[10:]
	for i, references := range [][]picture.ReferenceFile{old, recent} {
		if err := s.update(func(b *bbolt.Bucket) error {
			return remember(b.Tx(), references, time.Unix(int64(1000+i), 0))
		}); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range []picture.ReferenceFile{old[0], old[9], recent[0], recent[len(recent)-1]} {
		sum, _ := digestOf(r)
		if got, err := s.remembered(sum); err != nil || (got == path) != (i >= 2) {
			t.Errorf("%d: %q, %v, want the oldest removed", i, got, err)
		}
	}
}
