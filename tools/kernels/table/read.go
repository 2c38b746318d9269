package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/kleinbild/kleinbild/kernels/ptxsim/ptx"
)

// node is what is read of a node of clang's syntax tree.
type node struct {
	Kind  string
	Name  string
	Value json.RawMessage
	Type  struct {
		QualType string
	}
	Inner []node
}

// kernelsOf reads the kernels of a source: name is FAMILY.TARGET. It adds what EXPORT names to constants.
func kernelsOf(name, treePath, ptxPath string, constants map[string]int) ([]kernel, error) {
	family, target, ok := strings.Cut(name, ".")
	if !ok {
		return nil, fmt.Errorf("want FAMILY.TARGET")
	}
	tree, err := os.Open(treePath)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	declared, err := declaredIn(json.NewDecoder(tree), constants)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", treePath, err)
	}
	text, err := os.ReadFile(ptxPath)
	if err != nil {
		return nil, err
	}
	module, err := ptx.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ptxPath, err)
	}
	for i := range declared {
		k := &declared[i]
		k.family, k.target = family, target
		f := module.Function(k.name)
		if f == nil {
			return nil, fmt.Errorf("%s: the PTX has no such kernel", k.name)
		}
		k.threads, k.blocks = f.MaxThreads[0], f.MinBlocks
		if err := compare(*k, f.Params); err != nil {
			return nil, fmt.Errorf("%s: %w", k.name, err)
		}
	}
	return declared, nil
}

// declaredIn returns the kernels of a syntax tree, and adds its constants. It decodes one declaration of the file's
// scope at a time.
func declaredIn(d *json.Decoder, constants map[string]int) ([]kernel, error) {
	for {
		token, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("no declarations: %w", err)
		}
		if token == "inner" {
			break
		}
	}
	if _, err := d.Token(); err != nil { // the bracket that opens the list
		return nil, err
	}
	var all []kernel
	for d.More() {
		var n node
		if err := d.Decode(&n); err != nil {
			return nil, err
		}
		// extern "C" is a node around the declaration.
		for _, f := range append(n.Inner, n) {
			k, ok, err := declaration(f)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
			name, exported := strings.CutPrefix(f.Name, "constant_")
			switch {
			case ok:
				all = append(all, k)
			case exported && len(k.annotated) == 1:
				if old, ok := constants[name]; ok && old != k.annotated[0] {
					return nil, fmt.Errorf("EXPORT of %s: %d, another source has %d", name, k.annotated[0], old)
				}
				constants[name] = k.annotated[0]
			}
		}
	}
	return all, nil
}

// declaration reads a function and the values of its annotation. ok is false if it is no kernel.
func declaration(f node) (k kernel, ok bool, err error) {
	if f.Kind != "FunctionDecl" {
		return k, false, nil
	}
	k.name = f.Name
	for _, n := range f.Inner {
		switch n.Kind {
		case "CUDAGlobalAttr":
			ok = true
		case "ParmVarDecl":
			k.params = append(k.params, param{n.Name, strings.TrimSpace(n.Type.QualType)})
		case "AnnotateAttr":
			for _, arg := range n.Inner {
				if len(arg.Value) == 0 {
					continue // the annotation's name
				}
				v, err := strconv.Atoi(strings.Trim(string(arg.Value), `"`))
				if err != nil {
					return k, false, fmt.Errorf("annotation: %w", err)
				}
				k.annotated = append(k.annotated, v)
			}
		}
	}
	if n := len(k.annotated); ok && n != 0 && n != 6 {
		return k, false, fmt.Errorf("TILE has the values %v, want m, n, k, stages, bytes and takes", k.annotated)
	}
	return k, ok, nil
}

// matFields are the sizes of a Mat's fields: its address, its stride and its format. The structure has no padding and
// begins at a multiple of 8 bytes, as its first field does, so that its fields lie in the same places as parameters.
var matFields = [...]int{8, 4, 4}

// compare returns an error unless the source's parameters have the sizes and alignments of the PTX's. A Mat is one
// parameter of the PTX, or three if the source says PLAIN.
func compare(k kernel, params []*ptx.Variable) error {
	for _, p := range k.params {
		as, err := packedAs(p.ctype)
		if err != nil {
			return fmt.Errorf("parameter %s: %w", p.name, err)
		}
		if len(params) == 0 {
			return fmt.Errorf("parameter %s is not in the PTX", p.name)
		}
		if p.ctype == "Mat" && params[0].Size() < as.bytes {
			for i, bytes := range matFields {
				if i == len(params) || params[i].Size() != bytes || params[i].Align != bytes {
					return fmt.Errorf("parameter %s: the PTX does not have the fields of a Mat", p.name)
				}
			}
			params = params[len(matFields):]
			continue
		}
		if v := params[0]; as.bytes != v.Size() || as.align != v.Align {
			return fmt.Errorf(
				"parameter %s: %d bytes aligned to %d, in the PTX %d aligned to %d", p.name, as.bytes, as.align, v.Size(),
				v.Align,
			)
		}
		params = params[1:]
	}
	if len(params) > 0 {
		return fmt.Errorf("%d parameters, the PTX has %d more", len(k.params), len(params))
	}
	return nil
}
