package kernels

import (
	"embed"
	"errors"
	"fmt"
	"sync"

	"github.com/kleinbild/kleinbild/kernels/cu"
)

//go:embed ptx/*.ptx
var ptxFiles embed.FS

//go:embed ptx/MANIFEST
var manifest []byte

// Manifest lists the hashes of the sources and of the PTX: it identifies the kernels of a build.
func Manifest() []byte { return manifest }

// Target is the kind of GPU that kernels are compiled for: ptx/<family>.<target>.ptx.
type Target int

// The targets, the best last. Kernels for SM89 are those that need its 8-bit floats; families that have them have no
// others. A new target sm_120a is a constant SM120a here, with a name in String and a case in
// RunsOn; sources x.sm_120a.cu; its PTX version in src/build.sh; a row of ARCHES in tools/kernels/check.py; and a case
// in the launchers of its families, beside that for SM90a.
const (
	SM80 Target = iota
	SM89
	SM90a
	targets
)

// String is the target's name in the names of files: "sm_80".
func (t Target) String() string { return [...]string{"sm_80", "sm_89", "sm_90a"}[t] }

// RunsOn says whether d runs the kernels for a target. All GPUs run those for sm_80. A target whose name ends in a
// letter is for one kind of GPU. Those for sm_89 run on the GPUs whose mma multiplies 8-bit floats itself: of sm_89,
// and of sm_120 and after it. On those between, ptxas replaces it by products of float16, which are no faster than
// bfloat16's.
func (t Target) RunsOn(d cu.DeviceInfo) bool {
	switch t {
	case SM89:
		return d.Major == 8 && d.Minor == 9 || d.Major >= 12
	case SM90a:
		return d.Major == 9 && d.Minor == 0
	}
	return true
}

// Tuner tries kernels before a Set uses them, and chooses among variants. Package tune implements it.
type Tuner interface {
	// Try compares the kernels that a family has for a target with those for sm_80, on the Set's device. It returns an
	// error that wraps ErrTrial if they compute something else.
	Try(s *Set, f Family, t Target) error
	// Variant returns the variant for a shape of which several kernels compete, or Auto.
	Variant(shape Shape) Variant
}

// ErrTrial means that kernels for a target compute something else than those for sm_80.
var ErrTrial = errors.New("failed its trial")

// ErrNoKernels means that a family has no kernels for a device.
var ErrNoKernels = errors.New("no kernels for it")

// Set is the kernels of one device. It may be used from several goroutines.
type Set struct {
	ctx     cu.Context
	tuner   Tuner
	modules map[Family]*[targets]module
	only    *Target                // used instead of the best target if not nil
	best    map[Family]*bestTarget // has all families
}

// bestTarget is the outcome of the search for a family's target, which is done once.
type bestTarget struct {
	once   sync.Once
	target Target
	err    error
}

// module is a family for a target, which is compiled once. functions are its kernels by name.
type module struct {
	once      sync.Once
	err       error
	functions map[string]cu.Function
}

// New returns the kernels for ctx; nothing is compiled yet. If tuner is nil, kernels for the device's own target are
// used without a trial, and a rule chooses among variants.
func New(ctx cu.Context, tuner Tuner) *Set {
	modules := map[Family]*[targets]module{}
	for _, f := range Families() {
		modules[f] = new([targets]module)
	}
	return newSet(ctx, tuner, modules)
}

func newSet(ctx cu.Context, tuner Tuner, modules map[Family]*[targets]module) *Set {
	s := &Set{ctx: ctx, tuner: tuner, modules: modules, best: map[Family]*bestTarget{}}
	for f := range modules {
		s.best[f] = new(bestTarget)
	}
	return s
}

// Only returns the set with the kernels of one target and without a tuner. It shares what is compiled with s.
func (s *Set) Only(t Target) *Set {
	only := newSet(s.ctx, nil, s.modules)
	only.only = &t
	return only
}

// Context returns the device that the set is for.
func (s *Set) Context() cu.Context { return s.ctx }

// Load compiles a family for its best target and for sm_80, whose kernels launches use if the operands do not have the
// alignment that the best target's kernels need. The driver may take seconds for it. Without Load, the first launch of
// a family compiles it. After an error the family stays unusable.
func (s *Set) Load(f Family) error {
	t, err := s.bestTarget(f)
	if err != nil {
		return err
	}
	if t != SM80 && len(kernelsOf(f, SM80)) > 0 {
		_, err = s.functions(f, SM80)
	}
	return err
}

// LoadFor loads all families of an operation. It must be called before launches inside the Do of a context: a launch
// that finds its family missing compiles it, and if another goroutine is compiling it already, which needs the thread
// that Do occupies, each waits for the other.
func (s *Set) LoadFor(o *Operation) error {
	for _, f := range o.Families {
		if err := s.Load(f); err != nil {
			return err
		}
	}
	return nil
}

// Target returns the target of the kernels that launches of an operation use if the operands allow it.
func (s *Set) Target(o *Operation) (Target, error) { return s.bestTarget(o.Families[0]) }

// bestTarget tries the targets that are for the device, the best first. It passes over a target if the driver does not
// accept the PTX, because it is too old or finds fault with it, or if the kernels fail their trial. There is a trial if
// the family has kernels for sm_80 to compare with.
func (s *Set) bestTarget(f Family) (Target, error) {
	if s.only != nil {
		return *s.only, nil
	}
	b := s.best[f]
	b.once.Do(func() {
		info := s.ctx.Device()
		b.err = fmt.Errorf("kernels: %v: sm_%d%d: %w", f, info.Major, info.Minor, ErrNoKernels)
		for t := targets - 1; t >= SM80; t-- {
			if !t.RunsOn(info) || len(kernelsOf(f, t)) == 0 {
				continue
			}
			b.target = t
			if _, b.err = s.functions(f, t); b.err == nil && t != SM80 && s.tuner != nil && len(kernelsOf(f, SM80)) > 0 {
				b.err = s.tuner.Try(s, f, t)
			}
			if b.err == nil || t == SM80 || !refused(b.err) {
				return
			}
		}
	})
	return b.target, b.err
}

// refused says whether an error means that this target's kernels cannot be used, but others may: the driver did not
// accept the PTX, or the kernels computed something wrong. All other errors are about the device.
func refused(err error) bool {
	var jit *cu.JITError
	var driver *cu.DriverTooOldError
	return errors.As(err, &jit) || errors.As(err, &driver) || errors.Is(err, ErrTrial)
}

// functions are the kernels of a family for a target, by name.
func (s *Set) functions(f Family, t Target) (map[string]cu.Function, error) {
	m := &s.modules[f][t]
	m.once.Do(func() { m.functions, m.err = s.load(f, t) })
	return m.functions, m.err
}

func (s *Set) load(f Family, t Target) (map[string]cu.Function, error) {
	name := fmt.Sprintf("%v.%v.ptx", f, t)
	text, err := ptxFiles.ReadFile("ptx/" + name)
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

// defaultSharedBytes is the dynamic shared memory that a kernel may have without SetMaxDynamicShared. No kernel that
// uses dynamic shared memory has static shared memory as well, which would count too.
const defaultSharedBytes = 48 << 10
