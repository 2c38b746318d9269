package pth

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// The form before torch 1.6: five pickles, which are a magic number, the protocol's version, the sizes of types, the
// dictionary and the list of the storages' keys. The storages follow in the order of that list, each as its number of
// values in eight bytes, and the values.

// legacyMagic is the first pickle.
const legacyMagic = "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

// readLegacy reads a file in the older form.
func readLegacy(ctx context.Context, file []byte, maxBytes int) (map[string]tensor.Tensor, error) {
	rest := file[len(legacyMagic):]
	var parts [4]any
	for i := range parts {
		text := rest[:min(len(rest), maxPickleBytes)]
		value, after, err := run(text)
		if err != nil {
			return nil, fmt.Errorf("pickle %d: %w", i+2, err)
		}
		parts[i], rest = value, rest[len(text)-len(after):]
	}
	if system, ok := parts[1].(*dict); ok {
		for _, item := range system.items {
			if item.key == "little_endian" && item.value != true {
				return nil, errors.New("byte order big, want little")
			}
		}
	}
	views, err := viewsOf(parts[2])
	if err != nil {
		return nil, err
	}
	dtypes := map[string]tensor.DType{}
	for name, v := range views {
		if other, ok := dtypes[v.key]; ok && other != v.dtype {
			return nil, fmt.Errorf("%.100q: %v values of a storage of %v", name, v.dtype, other)
		}
		dtypes[v.key] = v.dtype
	}
	keys, ok := parts[3].(*list)
	if !ok {
		return nil, errors.New("holds no list of storages")
	}
	storages := map[string][]byte{}
	for _, k := range keys.values {
		key, isText := k.(string)
		dtype, used := dtypes[key]
		switch {
		case !isText || !used:
			return nil, fmt.Errorf("a storage %.100q that no tensor uses", fmt.Sprint(k))
		case len(rest) < 8:
			return nil, errShort
		}
		n := binary.LittleEndian.Uint64(rest)
		rest = rest[8:]
		bytes := n * uint64(dtype.SizeBytes())
		if n > uint64(len(rest)) || bytes > uint64(len(rest)) {
			return nil, fmt.Errorf("a storage of %d values: %w", n, errShort)
		}
		storages[key], rest = rest[:bytes], rest[bytes:]
	}
	return cut(ctx, views, maxBytes, func(key string) ([]byte, error) {
		data, ok := storages[key]
		if !ok {
			return nil, fmt.Errorf("storage %.100q is missing", strings.ToValidUTF8(key, "?"))
		}
		return data, nil
	})
}
