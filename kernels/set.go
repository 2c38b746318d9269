package kernels

import (
	"embed"
	"errors"
	"fmt"
	"sync"

	"kleinbild/kernels/cu"
)

//go:embed ptx/*.ptx
var ptx embed.FS

// target is the kind of GPU that kernels are compiled for: ptx/<family>.<target>.ptx.
type target int

// The targets, best last. A new one is a name here, what runs it below, and kernels in the families' tables.
const (
	sm80 target = iota
	sm90a
	targets
)

func (t target) String() string { return [...]string{"sm_80", "sm_90a"}[t] }

// runsOn says which GPUs a target is for: sm_80 is for all, and names that end in a letter are for one kind alone.
func (t target) runsOn(d cu.DeviceInfo) bool {
	switch t {
	case sm90a:
		return d.Major == 9 && d.Minor == 0
	}
	return true
}

// Set is the kernels of one device. It may be used from several goroutines.
type Set struct {
	ctx     cu.Context
	modules *[families][targets]module
	forced  *target // instead of the best, for trials
	best    [families]struct {
		once   sync.Once
		target target
		err    error
	}
	tuning tuning
}

// module is a family for a target, on the device.
type module struct {
	once      sync.Once
	err       error
	functions map[string]cu.Function
}

// New returns the kernels for ctx; nothing is compiled yet.
func New(ctx cu.Context) *Set { return &Set{ctx: ctx, modules: new([families][targets]module)} }

// Load compiles a family, for its best target and for sm_80, which takes the driver up to seconds; the first launches do
// it where nobody has before. After an error the family stays unusable.
func (s *Set) Load(f Family) error {
	t, err := s.bestTarget(f)
	if err != nil {
		return err
	}
	if t != sm80 {
		_, err = s.functions(f, sm80)
	}
	return err
}

// Target names the kind of GPU that a family's kernels are for where operands allow: "sm_80", or "sm_90a".
func (s *Set) Target(f Family) (string, error) {
	t, err := s.bestTarget(f)
	return t.String(), err
}

// bestTarget tries the targets that are for the device, best first. One that the driver does not accept, being too old for
// it or finding fault with it, or whose kernels fail their trial, is passed over.
func (s *Set) bestTarget(f Family) (target, error) {
	if s.forced != nil {
		return *s.forced, nil
	}
	b := &s.best[f]
	b.once.Do(func() {
		for t := targets - 1; t >= sm80; t-- {
			if !t.runsOn(s.ctx.Device()) || len(kernelsOf(f, t)) == 0 {
				continue
			}
			b.target = t
			if _, b.err = s.functions(f, t); b.err == nil && t != sm80 {
				b.err = s.try(f, t)
			}
			if b.err == nil || t == sm80 || !refused(b.err) {
				return
			}
		}
	})
	return b.target, b.err
}

// refused tells PTX that a driver does not take, or takes wrongly, from faults of the device.
func refused(err error) bool {
	var jit *cu.JITError
	var driver *cu.DriverTooOldError
	return errors.As(err, &jit) || errors.As(err, &driver) || errors.Is(err, errTrial)
}

// functions are the kernels of a family for a target, by name.
func (s *Set) functions(f Family, t target) (map[string]cu.Function, error) {
	m := &s.modules[f][t]
	m.once.Do(func() { m.functions, m.err = s.load(f, t) })
	return m.functions, m.err
}

func (s *Set) load(f Family, t target) (map[string]cu.Function, error) {
	name := fmt.Sprintf("%v.%v.ptx", f, t)
	text, err := ptx.ReadFile("ptx/" + name)
	if err != nil {
		return nil, fmt.Errorf("kernels: %w", err)
	}
	loaded, err := s.ctx.LoadModule(text, cu.ModuleOptions{Name: name})
	if err != nil {
		return nil, fmt.Errorf("kernels: %w", err)
	}
	functions := map[string]cu.Function{}
	for _, k := range kernelsOf(f, t) {
		if functions[k.name], err = loaded.Function(k.name); err != nil {
			return nil, fmt.Errorf("kernels: %w", err)
		}
		if k.sharedBytes > defaultSharedBytes {
			if err := functions[k.name].SetMaxDynamicShared(k.sharedBytes); err != nil {
				return nil, fmt.Errorf("kernels: %w", err)
			}
		}
	}
	return functions, nil
}

// defaultSharedBytes is the dynamic shared memory that a kernel may have without asking.
const defaultSharedBytes = 48 << 10
