package studio

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/gofrs/flock"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// lockFlags open the lock without waiting where a pipe lies in its place.
const lockFlags = os.O_CREATE | os.O_RDONLY | syscall.O_NONBLOCK

// Store keeps the desk and the queue in a folder: desk.json, queue.json, and pictures that lie in no file of the
// user's under pasted/, named by their digest. One window at a time has a folder; those that are open beside it have
// folders of their own, and what they leave waits for the next window.
type Store struct {
	dir  string
	lock *flock.Flock

	mu   sync.Mutex      // held while pasted pictures come and go
	kept map[string]bool // digests of those that this window has kept

	cutsMu sync.Mutex
	cuts   map[*paint.Mask]string // digests of the cut-outs on boards that this window has kept; guarded by cutsMu
}

const (
	deskFile  = "desk.json"
	queueFile = "queue.json"
	pastedDir = "pasted"

	maxWindows   = 64
	maxFileBytes = 64 << 20 // of a JSON file; a prompt has 64 KiB at most
	jsonFormat   = 1
)

// document is a JSON file: its format number goes up when a reader of the old one would misread it.
type document[T any] struct {
	Format int `json:"format"`
	Value  T   `json:"value"`
}

// OpenStore takes a folder for this window, root or one beside it, and makes it if it does not exist. It reads no file:
// a file that cannot be read is set aside by the call that reads it.
func OpenStore(root string) (*Store, error) {
	for n := 1; n <= maxWindows; n++ {
		s, err := openFolder(folder(root, n))
		if s != nil || err != nil {
			return s, err
		}
	}
	return nil, fmt.Errorf("studio: %s: %d windows are open", root, maxWindows)
}

func folder(root string, n int) string {
	if n == 1 {
		return root
	}
	return fmt.Sprintf("%s-%d", root, n)
}

// openFolder returns nil where another window has the folder.
func openFolder(dir string) (*Store, error) {
	if err := os.MkdirAll(filepath.Join(dir, pastedDir), 0o700); err != nil {
		return nil, fmt.Errorf("studio: %w", err)
	}
	s := &Store{
		dir: dir, lock: flock.New(filepath.Join(dir, "lock"), flock.SetFlag(lockFlags)),
		kept: map[string]bool{}, cuts: map[*paint.Mask]string{},
	}
	ok, err := s.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("studio: %w", err)
	}
	if !ok {
		return nil, nil
	}
	return s, nil
}

// Close gives the folder back.
func (s *Store) Close() error { return s.lock.Unlock() }

// LoadDesk returns the desk that was kept; ok says that there is one. Its pictures have paths and digests only.
func (s *Store) LoadDesk() (d Desk, ok bool, err error) {
	ok, err = load(filepath.Join(s.dir, deskFile), &d)
	return soundBoards(d), ok, err
}

// SaveDesk keeps a desk in the place of the last one, with what was cut out on its board.
func (s *Store) SaveDesk(d Desk) error {
	d, failed := s.keptCuts(d)
	return errors.Join(failed, save(filepath.Join(s.dir, deskFile), d))
}

// LoadQueue returns the batches that were kept.
func (s *Store) LoadQueue() (batches []Batch, err error) {
	_, err = load(filepath.Join(s.dir, queueFile), &batches)
	for i := range batches {
		batches[i].Desk = soundBoards(batches[i].Desk)
	}
	return batches, err
}

// SaveQueue keeps the batches that wait, the one being made first.
func (s *Store) SaveQueue(batches []Batch) error {
	var failed error
	batches = slices.Clone(batches)
	for i := range batches {
		desk, err := s.keptCuts(batches[i].Desk)
		batches[i].Desk, failed = desk, errors.Join(failed, err)
	}
	return errors.Join(failed, save(filepath.Join(s.dir, queueFile), batches))
}

// Adopt takes over the batches that windows beside this one left and that no window has now: they are behind this
// window's own in its file, and their pasted pictures among its own.
func (s *Store) Adopt(root string) error {
	for n := 1; n <= maxWindows; n++ {
		dir := folder(root, n)
		if _, err := os.Stat(filepath.Join(dir, queueFile)); dir == s.dir || err != nil {
			continue
		}
		other, err := openFolder(dir)
		if err != nil {
			return err
		}
		if other == nil {
			continue // it is open
		}
		if err := errors.Join(s.adoptFrom(other), other.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) adoptFrom(other *Store) error {
	left, err := other.LoadQueue()
	if err != nil || len(left) == 0 {
		return err
	}
	own, err := s.LoadQueue()
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, b := range left {
		other.name(b.Desk, named)
	}
	for digest := range named {
		if file, err := atomicfile.Read(other.pasted(digest), picture.MaxFileBytes); err == nil {
			if _, err := s.Keep(file); err != nil {
				return err
			}
		}
	}
	// In this order a program that is killed in between has the batches twice rather than not at all.
	return errors.Join(s.SaveQueue(append(own, left...)), other.SaveQueue(nil))
}

// Keep stores the file of a picture that was pasted and so lies in no file of the user's, and returns its digest.
func (s *Store) Keep(file []byte) (digest string, err error) {
	digest = Digest(file)
	s.mu.Lock() // Prune may be under way
	defer s.mu.Unlock()
	s.kept[digest] = true
	path := s.pasted(digest)
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Size() == int64(len(file)) {
		return digest, nil // it is there
	}
	return digest, write(path, file)
}

// Digest names a picture's file by its bytes, as picture.Reference.FileSHA256.
func Digest(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// pasted is where a kept picture lies. A digest comes from a file that may hold anything: its base name alone is used.
func (s *Store) pasted(digest string) string {
	return filepath.Join(s.dir, pastedDir, filepath.Base(digest))
}

// File returns where a slot's picture lies: its own path, or that of the kept copy of a pasted one.
func (s *Store) File(slot Slot) string {
	if slot.Path != "" || s == nil {
		return slot.Path
	}
	return s.pasted(slot.Digest)
}

// Has says whether a slot's picture lies where the slot says. A nil Store has no pasted pictures.
func (s *Store) Has(slot Slot) bool {
	if slot.Path == "" && (slot.Digest == "" || s == nil) {
		return false
	}
	info, err := os.Stat(s.File(slot))
	return err == nil && info.Mode().IsRegular()
}

// Prune removes the stored pictures that neither the desks nor the batches name. It leaves those that this window has
// stored itself, because a picture that is pasted while the window starts belongs to a desk that the caller does not
// know yet. If last is true, the window is about to close, and Prune removes those, too.
func (s *Store) Prune(desks []Desk, batches []Batch, last bool) error {
	named := map[string]bool{}
	for _, b := range batches {
		desks = append(desks[:len(desks):len(desks)], b.Desk)
	}
	for _, d := range desks {
		s.name(d, named)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	files, err := os.ReadDir(filepath.Join(s.dir, pastedDir))
	if err != nil {
		return fmt.Errorf("studio: %w", err)
	}
	for _, file := range files {
		if !named[file.Name()] && (last || !s.kept[file.Name()]) {
			err = errors.Join(err, os.Remove(filepath.Join(s.dir, pastedDir, file.Name())))
		}
	}
	return err
}

// name adds the digests of the stored files that a desk needs.
func (s *Store) name(d Desk, named map[string]bool) {
	for _, slot := range append(slices.Clone(d.Slots), d.Edit.Mask.slot()) {
		if slot.Path == "" {
			named[slot.Digest] = true
		}
	}
	s.boardFiles(d, named)
	delete(named, "")
}

// ErrChanged is wrapped by the error for a reference whose file has other bytes than it had on the desk.
var ErrChanged = errors.New("has changed since it was used")

// Read prepares a slot's picture. If the slot has a digest, the file must still have it. A nil Store reads files, but
// has no pasted pictures.
func (s *Store) Read(ctx context.Context, slot Slot) (inference.Reference, error) {
	path, err := s.path(slot)
	if err != nil {
		return inference.Reference{}, err
	}
	ref, err := inference.OpenArranged(ctx, path, slot.Arrangement)
	if err != nil {
		return ref, slot.unread(err)
	}
	ref.Path = slot.Path
	return ref, slot.unchanged(ref.FileSHA256)
}

// ReadOriginal reads a slot's picture at its full resolution. If the slot has a digest, the file must still have it. A
// nil Store reads files, but has no pasted pictures.
func (s *Store) ReadOriginal(ctx context.Context, slot Slot) (*picture.Original, error) {
	path, err := s.path(slot)
	if err != nil {
		return nil, err
	}
	original, err := picture.OpenArrangedOriginal(ctx, path, slot.Arrangement)
	if err != nil {
		return nil, slot.unread(err)
	}
	return original, slot.unchanged(original.FileSHA256)
}

// errNotKept is the error for a pasted picture that lies nowhere.
var errNotKept = errors.New("the pasted picture was not kept: paste it again")

// path is File, also for a nil Store.
func (s *Store) path(slot Slot) (string, error) {
	if slot.Path == "" && s == nil {
		return "", errNotKept
	}
	return s.File(slot), nil
}

// unread returns the error of a picture that could not be read, in better words if it was pasted.
func (s Slot) unread(err error) error {
	if s.Path == "" && errors.Is(err, fs.ErrNotExist) {
		return errNotKept
	}
	return err
}

// unchanged returns an error if the slot's file has another digest than the slot.
func (s Slot) unchanged(digest string) error {
	if s.Digest != "" && digest != s.Digest {
		return fmt.Errorf("%s %w: drop the right one", s.Path, ErrChanged)
	}
	return nil
}

// load reads a document; ok is false if there is none. A damaged one is set aside, so that the next save does not
// overwrite what a person could still read, and the error says where it is.
func load[T any](path string, value *T) (ok bool, err error) {
	text, err := atomicfile.Read(path, maxFileBytes)
	var system *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.As(err, &system):
		return false, fmt.Errorf("studio: %w", err)
	}
	var d document[T]
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err == nil && d.Format != jsonFormat {
		err = fmt.Errorf("found format %d, want %d", d.Format, jsonFormat)
	}
	if err != nil {
		return false, setAside(path, err)
	}
	*value = d.Value
	return true, nil
}

// setAside gives a file that cannot be read for a reason another name, and returns the error that says so.
func setAside(path string, reason error) error {
	aside, err := atomicfile.SetAside(path)
	if err != nil {
		return fmt.Errorf("studio: %s: %w; %w", path, reason, err)
	}
	return fmt.Errorf("studio: %s: %w; it is kept as %s", path, reason, aside)
}

func save[T any](path string, value T) error {
	text, err := json.Marshal(document[T]{jsonFormat, value})
	if err != nil {
		return fmt.Errorf("studio: %s: %w", path, err)
	}
	return write(path, text)
}

func write(path string, data []byte) error {
	if err := atomicfile.Write(path, data, 0o600); err != nil {
		return fmt.Errorf("studio: %w", err)
	}
	return nil
}
