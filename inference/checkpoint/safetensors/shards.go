package safetensors

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"kleinbild/atomicfile"
	"kleinbild/inference/tensor"
)

// Set is a model's weights in one or more files, behind one list of names. It satisfies tensor.Source.
type Set struct {
	files []*File
	where map[string]*File
}

// OpenSet opens a single .safetensors file, or all shards named by a .safetensors.index.json; see Open.
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

// SetOf is the set of one file; closing it closes the file.
func SetOf(f *File) *Set {
	s := &Set{files: []*File{f}, where: make(map[string]*File, len(f.header.entries))}
	for name := range f.header.entries {
		s.where[name] = f
	}
	return s
}

func openIndex(ctx context.Context, path string) (*Set, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	text, err := atomicfile.Read(path, maxIndexBytes)
	if err != nil {
		return nil, openError(path, err)
	}
	if err := spend(ctx, path, int64(len(text))); err != nil {
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
	s := &Set{where: map[string]*File{}}
	byName := map[string]*File{}
	left := maxHeaderBytes // for the headers of all files together
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
		s.where[name] = f
	}
	if missing != nil {
		err := fmt.Errorf("safetensors: %s: names %d tensors that its shards lack: %s", path, len(missing), first(missing, 3))
		s.Close()
		return nil, err
	}
	return s, nil
}

// parseIndex returns the weight_map of an index: tensor name to shard file. A shard is a plain file name beside the index.
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
			return errTwice
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
		if !PlainName(shard) || !strings.HasSuffix(shard, ".safetensors") {
			return nil, fmt.Errorf("weight_map: %q: shard %.200q, want the plain name of a .safetensors file", name, shard)
		}
	}
	return weightMap, nil
}

// first joins up to n of list, and says how many more there are.
func first(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
}

// Files lists the mapped files, sorted by name.
func (s *Set) Files() []*File { return s.files }

// Names lists the tensors, sorted.
func (s *Set) Names() []string { return slices.Sorted(maps.Keys(s.where)) }

// Stat describes a tensor without touching its data: Data is nil.
func (s *Set) Stat(name string) (tensor.Tensor, error) {
	f, ok := s.where[name]
	if !ok {
		return tensor.Tensor{}, s.missing(name)
	}
	return f.Stat(name)
}

// Tensor returns the tensor called name, as File.Tensor does.
func (s *Set) Tensor(name string) (tensor.Tensor, error) {
	f, ok := s.where[name]
	if !ok {
		return tensor.Tensor{}, s.missing(name)
	}
	return f.Tensor(name)
}

func (s *Set) missing(name string) error {
	where := s.files[0].path
	if len(s.files) > 1 {
		where = fmt.Sprintf("%s and %d more", where, len(s.files)-1)
	}
	return fmt.Errorf("safetensors: %s: %s: %w", where, name, tensor.ErrMissing)
}

// Release gives back the memory of all files' pages, as File.Release does.
func (s *Set) Release() {
	for _, f := range s.files {
		f.Release()
	}
}

// Close unmaps all files.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
