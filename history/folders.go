package history

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.etcd.io/bbolt"
)

// folderBucket has the folders that the user files pictures in. A key is a folder's ID, as for entries; the value is
// JSON. The bucket is created with the first folder.
var folderBucket = []byte("folders")

// Folder is an album: pictures are filed in it by its ID (Entry.Folders), and their files stay where they are. A
// picture can be in several folders. An ID without a folder means nothing, so that a folder that was removed comes back
// with its pictures if it is put back.
type Folder struct {
	ID   uint64 `json:"-"`
	Name string `json:"folder"`
}

// folderStart is how the value of a folder begins. No value of an entry does, so that rescue can tell the two apart.
var folderStart = []byte(`{"folder":`)

// Errors of a folder's name.
var (
	ErrFolderName  = fmt.Errorf("want a name of 1 to %d characters", MaxFolderRunes)
	ErrFolderTaken = errors.New("there is a folder of that name already")
	errFolders     = fmt.Errorf("want at most %d folders", maxFolders)
)

// Folders returns all folders, ordered by their names. If the file cannot be read, there are none.
func (s *Store) Folders() (list []Folder) {
	if err := s.view(func(b *bbolt.Bucket) (err error) {
		list, err = folders(b.Tx().Bucket(folderBucket))
		return err
	}); err != nil {
		s.recordError(err)
		return nil
	}
	return list
}

// folders returns the folders of a bucket, which may be nil.
func folders(b *bbolt.Bucket) (list []Folder, err error) {
	if b == nil {
		return nil, nil
	}
	err = b.ForEach(func(k, v []byte) error {
		var f Folder
		if len(k) != 8 {
			return damagef("a folder's key of %d bytes, want 8", len(k))
		}
		if err := json.Unmarshal(v, &f); err != nil {
			return &damage{error: err}
		}
		f.ID = binary.BigEndian.Uint64(k)
		list = append(list, f)
		return nil
	})
	slices.SortStableFunc(list, func(a, b Folder) int {
		return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name))
	})
	return list, err
}

// PutFolder stores a folder and returns it with its ID: a new one if f.ID is 0, otherwise it renames the folder, or
// puts a removed one back. Blanks around the name are dropped. The error is ErrFolderName or ErrFolderTaken about the
// name, or that of the store.
func (s *Store) PutFolder(f Folder) (Folder, error) {
	f.Name = strings.Join(strings.Fields(strings.ToValidUTF8(f.Name, "")), " ")
	if err := checkFolderName(f.Name); err != nil {
		return f, err
	}
	given := f.ID
	var refused error // a mistake of the user's, which is no news of the store
	err := s.update(func(pictures *bbolt.Bucket) error {
		refused = nil
		b, err := pictures.Tx().CreateBucketIfNotExists(folderBucket)
		if err != nil {
			return err
		}
		list, err := folders(b)
		if err != nil {
			return err
		}
		same := func(other Folder) bool { return other.ID != given && strings.EqualFold(other.Name, f.Name) }
		switch {
		case slices.ContainsFunc(list, same):
			refused = ErrFolderTaken
			return nil
		case given == 0 && len(list) >= maxFolders:
			refused = errFolders
			return nil
		}
		if f.ID = given; given == 0 {
			if f.ID, err = nextID(b); err != nil {
				return err
			}
		}
		return putFolder(b, f)
	})
	if err == nil {
		err = refused
	}
	return f, err
}

func checkFolderName(name string) error {
	if n := utf8.RuneCountInString(name); n == 0 || n > MaxFolderRunes {
		return ErrFolderName
	}
	return nil
}

// putFolder writes a folder with its ID.
func putFolder(b *bbolt.Bucket, f Folder) error {
	value, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("folder %d: %w", f.ID, err)
	}
	return b.Put(key(f.ID), value)
}

// RemoveFolder removes a folder, but none of its pictures.
func (s *Store) RemoveFolder(id uint64) error {
	return s.update(func(pictures *bbolt.Bucket) error {
		if b := pictures.Tx().Bucket(folderBucket); b != nil {
			return b.Delete(key(id))
		}
		return nil
	})
}
