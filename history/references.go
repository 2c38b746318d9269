package history

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// referenceBucket has the paths of reference pictures. The metadata of a picture file, which the user may share, has
// only their base names and digests; their paths are private. A key is a SHA-256 digest (32 bytes); its value is the
// time of the last use (8 bytes, Unix seconds, big endian) and the path, byte for byte.
var referenceBucket = []byte("references")

const digestBytes = sha256.Size

// Remember stores the paths of reference pictures for FindReference. It skips references without an absolute path or a
// valid digest.
func (s *Store) Remember(references []picture.ReferenceFile) error {
	if !slices.ContainsFunc(references, findable) {
		return nil
	}
	return s.update(func(b *bbolt.Bucket) error { return remember(b.Tx(), references, time.Now()) })
}

func findable(r picture.ReferenceFile) bool {
	_, err := digestOf(r)
	return err == nil && filepath.IsAbs(r.Path)
}

func digestOf(r picture.ReferenceFile) ([]byte, error) {
	digest, err := hex.DecodeString(r.SHA256)
	if err == nil && len(digest) != digestBytes {
		err = fmt.Errorf("found a digest of %d bytes, want %d", len(digest), digestBytes)
	}
	return digest, err
}

func remember(tx *bbolt.Tx, references []picture.ReferenceFile, now time.Time) error {
	b, err := tx.CreateBucketIfNotExists(referenceBucket)
	if err != nil {
		return err
	}
	when, err := nextUse(b, now)
	if err != nil {
		return err
	}
	for _, r := range references {
		if !findable(r) {
			continue
		}
		digest, _ := digestOf(r)
		value := append(binary.BigEndian.AppendUint64(nil, when), r.Path...)
		if err := b.Put(digest, value); err != nil {
			return err
		}
	}
	return forgetOldest(b)
}

// nextUse returns now in Unix seconds, or a later time if the bucket already contains now or a later one. So the order
// of uses stays right if the clock is set back.
func nextUse(b *bbolt.Bucket, now time.Time) (when uint64, err error) {
	when = uint64(max(now.Unix(), 0))
	return when, b.ForEach(func(_, v []byte) error {
		if len(v) >= 8 {
			if use := binary.BigEndian.Uint64(v); use >= when && use <= maxUse {
				when = use + 1
			}
		}
		return nil
	})
}

// forgetOldest removes the least recently used references until the bucket has at most maxReferences.
func forgetOldest(b *bbolt.Bucket) error {
	type use struct{ key, when []byte }
	var all []use
	if err := b.ForEach(func(k, v []byte) error {
		all = append(all, use{slices.Clone(k), slices.Clone(v[:min(8, len(v))])})
		return nil
	}); err != nil || len(all) <= maxReferences {
		return err
	}
	slices.SortFunc(all, func(x, y use) int { return slices.Compare(x.when, y.when) })
	for _, old := range all[:len(all)-maxReferences] {
		if err := b.Delete(old.key); err != nil {
			return err
		}
	}
	return nil
}

// remembered returns the stored path for a digest, or "".
func (s *Store) remembered(digest []byte) (path string, err error) {
	err = s.view(func(b *bbolt.Bucket) error {
		if references := b.Tx().Bucket(referenceBucket); references != nil {
			if value := references.Get(digest); len(value) > 8 {
				path = string(value[8:])
			}
		}
		return nil
	})
	return path, err
}

// MissingReference is the error if no file with a reference's digest was found.
type MissingReference struct {
	Reference picture.ReferenceFile
	Changed   string // the path of a file with the reference's name but other content, or ""
}

func (e *MissingReference) Error() string {
	name := picture.BaseName(e.Reference.Path)
	if name == "" {
		name = "a picture that was pasted"
	}
	if e.Changed != "" {
		return fmt.Sprintf("reference %s: %s has changed since (want SHA-256 %.12s…)", name, e.Changed, e.Reference.SHA256)
	}
	return fmt.Sprintf("reference %s (SHA-256 %.12s…) was not found", name, e.Reference.SHA256)
}

// FindReference returns the path of a file whose content has the digest of r. It tries r.Path if that is absolute,
// which earlier versions wrote into pictures, then the path in the store, and then the base name of r.Path in each of
// folders. If s is nil or cannot be read, it tries only the others. The error is a *MissingReference, or that of ctx.
func (s *Store) FindReference(ctx context.Context, r picture.ReferenceFile, folders ...string) (string, error) {
	missing := &MissingReference{Reference: r}
	digest, err := digestOf(r)
	if err != nil {
		return "", missing
	}
	var places []string
	if filepath.IsAbs(r.Path) && !onNetwork(r.Path) {
		places = append(places, r.Path)
	}
	if s != nil {
		if path, err := s.remembered(digest); err == nil && path != "" {
			places = append(places, path)
		}
	}
	if name := picture.BaseName(r.Path); filepath.IsLocal(name) {
		for _, folder := range folders {
			places = append(places, filepath.Join(folder, name))
		}
	}
	for _, path := range places {
		found, err := fileDigest(ctx, path)
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err != nil:
		case found == r.SHA256:
			return path, nil
		case missing.Changed == "":
			missing.Changed = path
		}
	}
	return "", missing
}

// onNetwork reports whether path is on a network share (\\server\share). Windows would log in to the server of such a
// path, and anybody can write a picture with one.
func onNetwork(path string) bool {
	return strings.HasPrefix(path, `\\`) || strings.HasPrefix(path, "//")
}

// fileDigest returns the SHA-256 digest of a file in hexadecimal, as in picture.ReferenceFile.
func fileDigest(ctx context.Context, path string) (string, error) {
	file, info, err := atomicfile.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	if info.Size() > picture.MaxFileBytes {
		return "", fmt.Errorf("found %d bytes, want at most %d", info.Size(), int64(picture.MaxFileBytes))
	}
	sum := sha256.New()
	for block := make([]byte, 1<<20); ; {
		n, err := file.Read(block)
		sum.Write(block[:n])
		switch {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(sum.Sum(nil)), nil
		case err != nil:
			return "", err
		case ctx.Err() != nil:
			return "", ctx.Err()
		}
	}
}
