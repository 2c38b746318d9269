package safetensors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Set holds the weights of a model, which are in one or more files. It implements tensor.Source.
type Set struct {
	files  []*File
	fileOf map[string]*File // tensor name → its file
}

// OpenSet opens a .safetensors file, or all shards that a .safetensors.index.json names. See Open for ctx and for what
// must not happen to the files.
func OpenSet(ctx context.Context, path string) (*Set, error) {
	if strings.HasSuffix(path, ".json") {
		return openIndex(ctx, path)
	}
	f, err := Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return SetOf(f), nil
}

// SetOf returns the set of one file. Its Close closes the file.
func SetOf(f *File) *Set {
	s := &Set{files: []*File{f}, fileOf: make(map[string]*File, len(f.header.entries))}
	for name := range f.header.entries {
		s.fileOf[name] = f
	}
	return s
}

func openIndex(ctx context.Context, path string) (*Set, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	text, err := atomicfile.Read(path, maxIndexBytes)
	if err != nil {
		return nil, mapped.OpenError(room, path, err)
	}
	if err := mapped.Spend(ctx, room, path, int64(len(text))); err != nil {
		return nil, err
	}
	weightMap, err := parseIndex(text)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %s: %w", path, err)
	}
	shards := slices.Compact(slices.Sorted(maps.Values(weightMap)))
	if len(shards) > maxShards {
		return nil, fmt.Errorf("safetensors: %s: names %d files, want at most %d", path, len(shards), maxShards)
	}
	s := &Set{fileOf: map[string]*File{}}
	byName := map[string]*File{}
	left := maxHeaderBytes // bytes that the headers of the other files may have together
	for _, shard := range shards {
		f, err := open(ctx, filepath.Join(filepath.Dir(path), shard), left)
		if err != nil {
			err = fmt.Errorf("%w (one of %d shards in %s)", err, len(shards), filepath.Base(path))
			s.Close()
			return nil, err
		}
		s.files = append(s.files, f)
		byName[shard] = f
		left -= len(f.header.text)
	}
	var missing []string
	for _, name := range slices.Sorted(maps.Keys(weightMap)) {
		f := byName[weightMap[name]]
		if _, ok := f.header.entries[name]; !ok {
			missing = append(missing, fmt.Sprintf("%s (in %s)", name, weightMap[name]))
		}
		s.fileOf[name] = f
	}
	if missing != nil {
		err := fmt.Errorf("safetensors: %s: names %d tensors that its shards lack: %s",
			path, len(missing), first(missing, 3))
		s.Close()
		return nil, err
	}
	return s, nil
}

// parseIndex returns the weight_map of an index, which maps tensor names to shards. A shard must be a plain file name:
// it is in the folder of the index.
func parseIndex(text []byte) (map[string]string, error) {
	if err := checkJSON(text); err != nil {
		return nil, err
	}
	var weightMap map[string]string
	s := &scanner{text: string(text)}
	err := s.object(maxMetadataKeys, func(key string) (err error) {
		if key != "weight_map" {
			s.skip()
			return nil
		}
		if weightMap != nil {
			return errDuplicate
		}
		weightMap, err = s.strings(maxTensors)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(weightMap) == 0 {
		return nil, errors.New("weight_map is missing or empty")
	}
	for name, shard := range weightMap {
		if len(name) > maxNameBytes {
			return nil, fmt.Errorf("weight_map: a name of %d bytes, want at most %d", len(name), maxNameBytes)
		}
		if !tensor.Printable(name) {
			return nil, fmt.Errorf("weight_map: %q: %w", name, errUnprintable)
		}
		if !PlainName(shard) || !strings.HasSuffix(shard, ".safetensors") {
			return nil, fmt.Errorf("weight_map: %q: shard %.200q, want the plain name of a .safetensors file",
				name, shard)
		}
	}
	return weightMap, nil
}

// first joins the first n of list, and appends the number of the others.
func first(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
}

// Files returns the open files, sorted by name.
func (s *Set) Files() []*mapped.File {
	list := make([]*mapped.File, len(s.files))
	for i, f := range s.files {
		list[i] = f.File
	}
	return list
}

// Metadata returns the value of a key in the __metadata__ of the first file that has the key, or "".
func (s *Set) Metadata(key string) string {
	for _, f := range s.files {
		if value, ok := f.Metadata()[key]; ok {
			return value
		}
	}
	return ""
}

// Names returns the names of all tensors, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.fileOf)) }

// Stat returns the tensor called name without its data, like File.Stat.
func (s *Set) Stat(name string) (tensor.Tensor, error) {
	f, ok := s.fileOf[name]
	if !ok {
		return tensor.Tensor{}, s.missing(name)
	}
	return f.Stat(name)
}

// Tensor returns the tensor called name, like File.Tensor.
func (s *Set) Tensor(name string) (tensor.Tensor, error) {
	f, ok := s.fileOf[name]
	if !ok {
		return tensor.Tensor{}, s.missing(name)
	}
	return f.Tensor(name)
}

func (s *Set) missing(name string) error {
	where := s.files[0].Path()
	if len(s.files) > 1 {
		where = fmt.Sprintf("%s and %d more", where, len(s.files)-1)
	}
	return fmt.Errorf("safetensors: %s: %s: %w", where, name, tensor.ErrMissing)
}

// Release calls File.Release for all files.
func (s *Set) Release() {
	for _, f := range s.files {
		f.Release()
	}
}

// Close closes all files.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
