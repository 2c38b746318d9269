package pth

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// The values of the pickle's machine are nil, bool, int, string, []any (a tuple), and these.
type (
	global  string // module and name
	storage struct {
		dtype tensor.DType
		key   string
	}
	list struct{ values []any }
	view struct {
		storage
		offset, elements int // in values
		shape            []int
	}
	dict struct{ items []item }
	item struct {
		key   string
		value any
	}
	mark struct{}
)

var errShort = errors.New("ends too early")

// machine is the part of the pickle's machine that a state dict needs, up to protocol 2.
type machine struct {
	in    []byte
	stack []any
	memo  map[uint32]any
}

// run returns the value that a pickle makes, and what follows the pickle.
func run(text []byte) (value any, rest []byte, err error) {
	m := &machine{in: text, memo: map[uint32]any{}}
	for {
		code, err := m.take(1)
		if err != nil {
			return nil, nil, err
		}
		if code[0] == '.' {
			value, err := m.pop()
			return value, m.in, err
		}
		if err := m.step(code[0]); err != nil {
			return nil, nil, fmt.Errorf("byte %d: %w", len(text)-len(m.in)-1, err)
		}
	}
}

func (m *machine) take(n int) ([]byte, error) {
	if n < 0 || n > len(m.in) {
		return nil, errShort
	}
	b := m.in[:n]
	m.in = m.in[n:]
	return b, nil
}

// number takes a little-endian number of n bytes.
func (m *machine) number(n int) (uint32, error) {
	b, err := m.take(n)
	if err != nil {
		return 0, err
	}
	var four [4]byte
	copy(four[:], b)
	return binary.LittleEndian.Uint32(four[:]), nil
}

func (m *machine) line() (string, error) {
	i := bytes.IndexByte(m.in, '\n')
	if i < 0 {
		return "", errShort
	}
	b, err := m.take(i + 1)
	return string(b[:i]), err
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, errors.New("takes a value where there is none")
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

// popN returns the last n values as a tuple.
func (m *machine) popN(n int) ([]any, error) {
	if n > len(m.stack) {
		return nil, errors.New("takes more values than there are")
	}
	at := len(m.stack) - n
	list := append([]any(nil), m.stack[at:]...)
	m.stack = m.stack[:at]
	return list, nil
}

// popMark returns the values behind the last mark, and removes that.
func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			list, err := m.popN(len(m.stack) - i)
			return list[1:], err
		}
	}
	return nil, errors.New("goes back to a mark where there is none")
}

// step executes one instruction. The names of the instructions are those of Python's pickletools.
func (m *machine) step(code byte) error {
	constant := map[byte]any{'N': nil, 0x88: true, 0x89: false, '(': mark{}}
	if v, ok := constant[code]; ok {
		m.push(v)
		return nil
	}
	if n := map[byte]int{'J': 4, 'K': 1, 'M': 2}[code]; n > 0 { // BININT, BININT1, BININT2
		v, err := m.number(n)
		m.push(int(int32(v)))
		return err
	}
	if n := map[byte]int{'q': 1, 'r': 4, 'h': -1, 'j': -4}[code]; n != 0 { // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
		return m.remember(n)
	}
	if n, ok := map[byte]int{')': 0, 0x85: 1, 0x86: 2, 0x87: 3}[code]; ok { // EMPTY_TUPLE, TUPLE1 to TUPLE3
		list, err := m.popN(n)
		m.push(list)
		return err
	}
	switch code {
	case 0x80: // PROTO
		_, err := m.take(1)
		return err
	case 'c': // GLOBAL
		module, err := m.line()
		if err != nil {
			return err
		}
		name, err := m.line()
		m.push(global(module + " " + name))
		return err
	case 'X': // BINUNICODE
		n, err := m.number(4)
		if err != nil {
			return err
		}
		b, err := m.take(int(n))
		m.push(string(b))
		return err
	case 0x8a: // LONG1
		n, err := m.number(1)
		if err != nil {
			return err
		}
		if n > 4 {
			return fmt.Errorf("a number of %d bytes, want at most 4", n)
		}
		v, err := m.number(int(n))
		m.push(int(v))
		return err
	case 't': // TUPLE
		list, err := m.popMark()
		m.push(list)
		return err
	case '}': // EMPTY_DICT
		m.push(&dict{})
		return nil
	case ']': // EMPTY_LIST
		m.push(&list{})
		return nil
	case 'a', 'e': // APPEND, APPENDS
		return m.appendItems(code == 'a')
	case 'Q': // BINPERSID
		id, err := m.pop()
		if err != nil {
			return err
		}
		s, ok := storageOf(id)
		if !ok {
			return fmt.Errorf("a storage of another kind, want float32, float16 or bfloat16")
		}
		m.push(s)
		return nil
	case 's', 'u': // SETITEM, SETITEMS
		return m.setItems(code == 's')
	case 'b': // BUILD: the attributes of a dictionary, which have no tensors of their own
		_, err := m.pop()
		return err
	case 'R': // REDUCE
		return m.call()
	}
	return fmt.Errorf("instruction %#x, want those of a state dict", code)
}

// remember stores the last value under a number of n bytes, or pushes the value of a number of -n bytes.
func (m *machine) remember(n int) error {
	key, err := m.number(max(n, -n))
	if err != nil {
		return err
	}
	if n < 0 {
		v, ok := m.memo[key]
		if !ok {
			return fmt.Errorf("value %d was not stored", key)
		}
		m.push(v)
		return nil
	}
	if len(m.stack) == 0 {
		return errors.New("stores a value where there is none")
	}
	m.memo[key] = m.stack[len(m.stack)-1]
	return nil
}

func (m *machine) setItems(one bool) (err error) {
	var list []any
	if one {
		list, err = m.popN(2)
	} else {
		list, err = m.popMark()
	}
	if err != nil {
		return err
	}
	if len(m.stack) == 0 || len(list)%2 != 0 {
		return errors.New("sets items where there is no dictionary")
	}
	d, ok := m.stack[len(m.stack)-1].(*dict)
	if !ok {
		return errors.New("sets items of what is no dictionary")
	}
	for i := 0; i < len(list); i += 2 {
		if key, ok := list[i].(string); ok {
			d.items = append(d.items, item{key, list[i+1]})
		}
	}
	return nil
}

func (m *machine) appendItems(one bool) (err error) {
	var values []any
	if one {
		values, err = m.popN(1)
	} else {
		values, err = m.popMark()
	}
	if err != nil {
		return err
	}
	if len(m.stack) == 0 {
		return errors.New("appends where there is no list")
	}
	l, ok := m.stack[len(m.stack)-1].(*list)
	if !ok {
		return errors.New("appends to what is no list")
	}
	l.values = append(l.values, values...)
	return nil
}

// call calls the functions that a state dict is made with. There are no others.
func (m *machine) call() error {
	parts, err := m.popN(2)
	if err != nil {
		return err
	}
	name, ok := parts[0].(global)
	args, isTuple := parts[1].([]any)
	if !ok || !isTuple {
		return errors.New("calls what is no function")
	}
	switch {
	case name == "collections OrderedDict" && len(args) == 0:
		m.push(&dict{})
		return nil
	case name == "torch._utils _rebuild_parameter" && len(args) >= 1:
		m.push(args[0])
		return nil
	case name == "torch._utils _rebuild_tensor_v2" && len(args) >= 4:
		v, err := newView(args)
		m.push(v)
		return err
	}
	return fmt.Errorf("calls %.100q, want plain tensors only: nothing of a file is run", string(name))
}

// newView returns the tensor of (storage, offset, shape, strides, …).
func newView(args []any) (v view, err error) {
	s, isStorage := args[0].(storage)
	offset, isNumber := args[1].(int)
	shape, isShape := args[2].([]any)
	strides, isStrides := args[3].([]any)
	if !isStorage || !isNumber || !isShape || !isStrides || len(shape) != len(strides) || len(shape) > maxDims ||
		offset < 0 {
		return v, errors.New("a tensor without storage, offset, shape and strides")
	}
	v = view{storage: s, offset: offset, elements: 1}
	const most = 1 << 31
	if offset > most {
		return v, fmt.Errorf("a tensor from value %d on", offset)
	}
	for i := len(shape) - 1; i >= 0; i-- {
		n, ok := shape[i].(int)
		stride, isNumber := strides[i].(int)
		if !ok || !isNumber || n < 0 || n > most {
			return v, fmt.Errorf("a tensor whose dimension %d is no size", i)
		}
		if n > 1 && stride != v.elements {
			return v, fmt.Errorf("a tensor with strides of %d in dimension %d, want %d: values without gaps, row by row",
				stride, i, v.elements)
		}
		if v.elements *= n; v.elements > most {
			return v, fmt.Errorf("a tensor of more than %d values", most)
		}
		v.shape = append([]int{n}, v.shape...)
	}
	return v, nil
}
