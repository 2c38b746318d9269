package lora

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Kind is a kind of adapter, by its name.
type Kind string

// The kinds of adapters.
const (
	KindLoRA Kind = "LoRA"
	KindLoHa Kind = "LoHa"
	KindLoKr Kind = "LoKr"
	KindDiff Kind = "whole differences"
	KindSet  Kind = "whole weights"
)

// size is what the tensors of a module say of the layer that it changes, in rows and columns.
type size struct{ rows, cols, rank int }

// has says whether the module has all of roles.
func (m module) has(list ...role) bool {
	return !slices.ContainsFunc(list, func(r role) bool { return m.keys[r] == "" })
}

// hasAny says whether the module has one of roles.
func (m module) hasAny(list ...role) bool {
	return slices.ContainsFunc(list, func(r role) bool { return m.keys[r] != "" })
}

// wholeKron says whether both factors of a LoKr are stored as they are, without factors of their own. Its alpha means
// nothing then.
func (m module) wholeKron() bool { return m.has(roleKron1, roleKron2) }

// kind returns the kind of the module, or an error that says which tensor is missing, or which does not belong there.
// unsupported says why a complete module cannot be applied.
func (m module) kind() (k Kind, unsupported string, err error) {
	var found []Kind
	incomplete := func(k Kind, complete bool, roles ...role) {
		if m.hasAny(roles...) {
			found = append(found, k)
		}
		if m.hasAny(roles...) && !complete && err == nil {
			err = fmt.Errorf("%s: found without the other tensors of its %s", m.anyKey(roles...), k)
		}
	}
	factor := func(whole, a, b role) bool { return m.has(whole) != m.has(a, b) && m.has(a) == m.has(b) }
	incomplete(KindLoRA, m.has(roleDown, roleUp), roleDown, roleUp)
	incomplete(KindLoHa, m.has(roleHada1A, roleHada1B, roleHada2A, roleHada2B),
		roleHada1A, roleHada1B, roleHada2A, roleHada2B)
	incomplete(KindLoKr, factor(roleKron1, roleKron1A, roleKron1B) && factor(roleKron2, roleKron2A, roleKron2B),
		roleKron1, roleKron1A, roleKron1B, roleKron2, roleKron2A, roleKron2B)
	incomplete(KindDiff, true, roleDiff)
	incomplete(KindSet, true, roleSet)
	switch {
	case m.hasAny(roleMid, roleHadaT, roleKronT):
		return "", "a layer of a convolution, and this model has none", nil
	case err != nil:
		return "", "", err
	case len(found) > 1:
		return "", "", fmt.Errorf("%s: found a %s and a %s, want one of them", m.name, found[0], found[1])
	case len(found) == 0 && m.hasAny(roleDiffBias, roleNorm):
		return "", "a bias or a norm, which is not changed here", nil
	case len(found) == 0 && m.hasAny(roleMagnitude, roleDoRA, roleAlpha):
		key := m.anyKey(roleMagnitude, roleDoRA, roleAlpha)
		return "", "", fmt.Errorf("%s: found without the other tensors of its layer", key)
	case len(found) == 0:
		return "", "no part of an adapter", nil
	}
	return found[0], "", nil
}

// anyKey returns the name of the first tensor of the module that has one of the roles.
func (m module) anyKey(list ...role) string {
	for _, r := range list {
		if m.keys[r] != "" {
			return m.keys[r]
		}
	}
	return m.name
}

// size returns the size of the layer that a module changes. It returns an error for tensors whose shapes do not fit
// each other.
func (f *File) size(m module, k Kind) (s size, err error) {
	switch k {
	case KindLoRA:
		return f.pair(m.keys[roleUp], m.keys[roleDown])
	case KindLoHa:
		if s, err = f.pair(m.keys[roleHada1A], m.keys[roleHada1B]); err != nil {
			return s, err
		}
		other, err := f.pair(m.keys[roleHada2A], m.keys[roleHada2B])
		if err == nil && other != s {
			err = f.errorf("%s: makes [%d %d] of rank %d, want [%d %d] of rank %d as the first factor",
				m.keys[roleHada2A], other.rows, other.cols, other.rank, s.rows, s.cols, s.rank)
		}
		return s, err
	case KindLoKr:
		a, err := f.factor(m.keys[roleKron1], m.keys[roleKron1A], m.keys[roleKron1B])
		if err != nil {
			return s, err
		}
		b, err := f.factor(m.keys[roleKron2], m.keys[roleKron2A], m.keys[roleKron2B])
		rank := b.rank
		if rank == 0 {
			rank = a.rank
		}
		return size{a.rows * b.rows, a.cols * b.cols, rank}, err
	case KindDiff:
		return f.factor(m.keys[roleDiff], "", "")
	}
	return f.factor(m.keys[roleSet], "", "")
}

// factor returns the size of a matrix that is stored as it is, or as two factors. Its rank is 0 if it is stored as it
// is.
func (f *File) factor(whole, a, b string) (s size, err error) {
	if whole == "" {
		return f.pair(a, b)
	}
	t, err := f.matrix(whole)
	if err != nil {
		return s, err
	}
	return size{t.Shape[0], t.Shape[1], 0}, nil
}

// pair returns the size of the product of a [rows, rank] and b [rank, columns].
func (f *File) pair(a, b string) (s size, err error) {
	up, err := f.matrix(a)
	if err != nil {
		return s, err
	}
	down, err := f.matrix(b)
	if err != nil {
		return s, err
	}
	if up.Shape[1] != down.Shape[0] {
		return s, f.errorf("%s: shape %v, want %d columns, as many as %s has rows", a, up.Shape, down.Shape[0], b)
	}
	return size{up.Shape[0], down.Shape[1], down.Shape[0]}, nil
}

// maxSide bounds the sides of a matrix, so that no product of two overflows. Layers of this family have up to 36,864.
const maxSide = 1 << 20

func (f *File) matrix(key string) (t tensor.Tensor, err error) {
	if t, err = f.stat(key); err != nil {
		return t, err
	}
	if len(t.Shape) != 2 || t.Shape[0] > maxSide || t.Shape[1] > maxSide {
		return t, f.errorf("%s: shape %v, want rows and columns, at most %d", key, t.Shape, maxSide)
	}
	return t, nil
}

// Kinds returns the kinds of the file's adapters, each once, and DoRA for those with magnitudes.
func (f *File) Kinds() string {
	var list []string
	for _, m := range f.modules {
		k, unsupported, err := m.kind()
		if err != nil || unsupported != "" {
			continue
		}
		name := string(k)
		if m.hasAny(roleMagnitude, roleDoRA) {
			if name = "DoRA"; k != KindLoRA {
				name = "DoRA of a " + string(k)
			}
		}
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}
