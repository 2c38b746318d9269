package inference

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/cpu"
)

// ProcessorRate is the rate of one path, a way to compute products, on one thread of this processor.
type ProcessorRate struct {
	Path string
	// Format is what the path multiplies: Float32, BF16 or Int8.
	Format Precision
	// GFLOPS is the rate in 10⁹ operations per second.
	GFLOPS float64
	// Used says that this is the path that the processor uses, for int8 or for the others.
	Used bool
}

// Processor describes this machine's processor: its cores, and the path that its products use. If the rates of this
// processor are not known yet, it measures them, which takes a few milliseconds.
func Processor() (string, []ProcessorRate, error) {
	rates, err := processorPath()
	var all []ProcessorRate
	for _, r := range rates.Float {
		format := Float32
		if r.Level.MultipliesBF16() {
			format = BF16
		}
		all = append(all, ProcessorRate{r.Level.String(), format, r.FLOPS * 1e-9, r.Level == cpu.Current()})
	}
	for _, r := range rates.Int8 {
		path := benched{int8: r.Path, ints: true}
		all = append(all, ProcessorRate{path.String(), Int8, r.OPS * 1e-9, r.Path == cpu.CurrentInt8()})
	}
	return cpu.Describe(), all, err
}

// HasPath says whether this processor has the path that Processor calls name.
func HasPath(name string) bool { return len(benchedPaths([]string{name})) > 0 }

// pathVariable and int8Variable are the environment variables that choose a path by its name, for measurements, and to
// find out whether a path is faulty.
const (
	pathVariable = "KLEINBILD_SIMD"
	int8Variable = "KLEINBILD_SIMD_INT8"
)

// pathRates are the rates of a processor's paths: of those for floats, and of those for int8.
type pathRates struct {
	Float []cpu.Rate
	Int8  []cpu.Int8Rate
}

// processorPath makes the processor's backend use its fastest paths, and returns the rates of all paths. It does so
// once in a process, before the first backend is made, and not when the program starts, so that a command such as
// version does not wait for it.
var processorPath = sync.OnceValues(func() (pathRates, error) {
	rates := ratesOf(kernelChoicesDir(), cpu.Model(), cpu.Paths(), cpu.Int8Paths(), func() pathRates {
		return pathRates{cpu.Measure(), cpu.MeasureInt8()}
	})
	path, err := chosen(pathVariable, cpu.Fastest(rates.Float), cpu.ParsePath, cpu.Use)
	if err != nil {
		return rates, err
	}
	int8Path, err := chosen(int8Variable, cpu.FastestInt8(rates.Int8).Path, cpu.ParseInt8Path, cpu.UseInt8)
	if err != nil {
		return rates, err
	}
	if _, err = cpu.Use(path); err == nil {
		_, err = cpu.UseInt8(int8Path)
	}
	return rates, err
})

// int8IsFaster reports whether products of the path in use for int8 were measured to be clearly faster than those of
// the path in use for floats.
func (r pathRates) int8IsFaster() bool {
	i := slices.IndexFunc(r.Float, func(r cpu.Rate) bool { return r.Level == cpu.Current() })
	j := slices.IndexFunc(r.Int8, func(r cpu.Int8Rate) bool { return r.Path == cpu.CurrentInt8() })
	return i >= 0 && j >= 0 && r.Int8[j].ClearlyFaster(r.Float[i])
}

// chosen returns the path that an environment variable names, or the fastest path if it is not set. use is only tried.
func chosen[P any](
	variable string, fastest P, parse func(string) (P, error), use func(P) (restore func(), err error),
) (P, error) {
	name := os.Getenv(variable)
	if name == "" {
		return fastest, nil
	}
	path, err := parse(name)
	if err != nil {
		return path, fmt.Errorf("$%s: %w", variable, err)
	}
	restore, err := use(path)
	if err != nil {
		return path, fmt.Errorf("$%s: %w", variable, err)
	}
	restore()
	return path, nil
}

// processorRates is the content of the file that keeps the rates.
type processorRates struct {
	// Version is ratesVersion, Processor the model of processor that was measured.
	Version   int
	Processor string
	Rates     []cpu.Rate
	Int8      []cpu.Int8Rate
}

// maxRatesBytes bounds the file of rates, which takes about 400 bytes.
const maxRatesBytes = 16 << 10

// ratesVersion must be increased when the kernels have changed so much that old rates would mislead.
const ratesVersion = 2

// ratesFile returns the name of the file for a model of processor and the paths that it can use. Machines with
// different processors may share the folder.
func ratesFile(dir, model string, paths []cpu.Path, int8Paths []cpu.Int8Path) string {
	id := sha256.Sum256(fmt.Append(nil, model, paths, int8Paths))
	return filepath.Join(dir, fmt.Sprintf("processor-%x.json", id[:4]))
}

// ratesOf returns the rate of each path. It reads them from the folder dir; if there are none for this model of
// processor, it calls measure and keeps the result. The precision of pictures follows from the rates, so they must not
// change from run to run. If the file cannot be read or written, the rates are measured again. If there is only one
// path of each kind, nothing is measured.
func ratesOf(
	dir, model string, paths []cpu.Path, int8Paths []cpu.Int8Path, measure func() pathRates,
) pathRates {
	if len(paths) == 1 && len(int8Paths) == 1 {
		return pathRates{[]cpu.Rate{{Level: paths[0]}}, []cpu.Int8Rate{{Path: int8Paths[0]}}}
	}
	name := ratesFile(dir, model, paths, int8Paths)
	var kept processorRates
	if text, err := atomicfile.Read(name, maxRatesBytes); err == nil && json.Unmarshal(text, &kept) == nil &&
		kept.Version == ratesVersion && kept.Processor == model &&
		slices.EqualFunc(kept.Rates, paths, func(r cpu.Rate, p cpu.Path) bool { return r.Level == p && r.FLOPS > 0 }) &&
		slices.EqualFunc(kept.Int8, int8Paths,
			func(r cpu.Int8Rate, p cpu.Int8Path) bool { return r.Path == p && r.OPS > 0 }) {
		return pathRates{kept.Rates, kept.Int8}
	}
	rates := measure()
	text, err := json.Marshal(processorRates{ratesVersion, model, rates.Float, rates.Int8})
	if err == nil && os.MkdirAll(dir, 0o755) == nil {
		_ = atomicfile.Write(name, append(text, '\n'), 0o644)
	}
	return rates
}
