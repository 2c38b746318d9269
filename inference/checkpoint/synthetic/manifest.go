package synthetic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Manifest lists the tensors of a file of the reference whose values are the formula's.
type Manifest struct {
	Seed    uint64                       `json:"seed"`
	Prefix  string                       `json:"prefix"` // stands before a tensor's name in the formula
	Tensors map[string][]json.RawMessage `json:"tensors"`
}

// ReadManifest reads a manifest.
func ReadManifest(path string) (m Manifest, err error) {
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		return m, fmt.Errorf("synthetic: %s: %w", path, err)
	}
	return m, nil
}

// Names returns the names of all tensors, sorted.
func (m Manifest) Names() []string { return slices.Sorted(maps.Keys(m.Tensors)) }

// Tensor returns a tensor with the formula's values, in BF16 or F16, or with zeros in I64. It returns an error if the
// values do not have the digest in the manifest.
func (m Manifest) Tensor(name string) (t tensor.Tensor, err error) {
	row, ok := m.Tensors[name]
	if !ok {
		return t, fmt.Errorf("synthetic: %s: %w", name, tensor.ErrMissing)
	}
	t = tensor.Tensor{Name: name, DType: tensor.BF16, Scale: 1}
	var dtype, digest string
	if len(row) != 3 || json.Unmarshal(row[0], &dtype) != nil || json.Unmarshal(row[1], &t.Shape) != nil ||
		json.Unmarshal(row[2], &digest) != nil {
		return t, fmt.Errorf("synthetic: %s: %s, want a dtype, a shape and a digest", name, row)
	}
	n := tensor.Elements(t.Shape)
	t.Data = make([]byte, 2*n)
	switch dtype {
	case "BF16":
		newValues(m.Prefix+name, t.Shape, m.Seed).fill(t.Data, 0)
	case "F16":
		t.DType = tensor.F16
		newValues(m.Prefix+name, t.Shape, m.Seed).fillF16(t.Data)
	case "I64":
		t.DType, t.Data = tensor.I64, make([]byte, 8*n)
	default:
		return t, fmt.Errorf("synthetic: %s: dtype %s, want BF16, F16 or I64", name, dtype)
	}
	if sum := sha256.Sum256(t.Data); hex.EncodeToString(sum[:8]) != digest {
		return t, fmt.Errorf("synthetic: %s: values with the digest %x, want %s", name, sum[:8], digest)
	}
	return t, nil
}

// Write writes a safetensors file with the tensors, each under the name that rename gives it, or left out if that is
// "". rename may be nil, and it may change a tensor's shape.
func (m Manifest) Write(path string, rename func(*tensor.Tensor) string) error {
	var entries []safetensors.Entry
	for _, name := range m.Names() {
		t, err := m.Tensor(name)
		if err != nil {
			return err
		}
		to := name
		if rename != nil {
			to = rename(&t)
		}
		if to != "" {
			entries = append(entries, safetensors.Entry{
				Name: to, DType: t.DType, Shape: t.Shape,
				Fill: func(dst []byte, first int) error {
					copy(dst, t.Data[t.DType.SizeBytes()*first:])
					return nil
				},
			})
		}
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(safetensors.Write(context.Background(), file, nil, entries, nil), file.Close())
}
