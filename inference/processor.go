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
	// BF16 says that the path multiplies bfloat16; otherwise it multiplies float32.
	BF16   bool
	GFLOPS float64
	// Used says that this is the path that the processor uses.
	Used bool
}

// Processor describes this machine's processor: its cores, and the path that its products use. If the rates of this
// processor are not known yet, it measures them, which takes a few milliseconds.
func Processor() (string, []ProcessorRate, error) {
	rates, err := processorPath()
	var all []ProcessorRate
	for _, r := range rates {
		all = append(all, ProcessorRate{
			Path: r.Level.String(), BF16: r.Level.MultipliesBF16(), GFLOPS: r.FLOPS * 1e-9, Used: r.Level == cpu.Current(),
		})
	}
	return cpu.Describe(), all, err
}

// HasPath says whether this processor has the path that Processor calls name.
func HasPath(name string) bool {
	return slices.ContainsFunc(cpu.Paths(), func(p cpu.Path) bool { return p.String() == name })
}

// pathVariable is the environment variable that chooses a path by its name, for measurements, and to find out whether a
// path is faulty.
const pathVariable = "KLEINBILD_SIMD"

// processorPath makes the processor's backend use its fastest path, and returns the rates of all paths. It does so once
// in a process, before the first backend is made, and not when the program starts, so that a command such as version
// does not wait for it.
var processorPath = sync.OnceValues(func() ([]cpu.Rate, error) {
	rates := ratesOf(kernelChoicesDir(), cpu.Model(), cpu.Paths(), cpu.Measure)
	path, err := chosenPath(rates, os.Getenv(pathVariable))
	if err != nil {
		return rates, err
	}
	_, err = cpu.Use(path)
	return rates, err
})

// chosenPath returns the path with a name, or the fastest path if name is "".
func chosenPath(rates []cpu.Rate, name string) (cpu.Path, error) {
	if name == "" {
		return cpu.Fastest(rates), nil
	}
	path, err := cpu.ParsePath(name)
	if err != nil {
		return path, fmt.Errorf("$%s: %w", pathVariable, err)
	}
	restore, err := cpu.Use(path)
	if err != nil {
		return path, fmt.Errorf("$%s: %w", pathVariable, err)
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
}

// maxRatesBytes bounds the file of rates, which takes about 200 bytes.
const maxRatesBytes = 16 << 10

// ratesVersion must be increased when the kernels have changed so much that old rates would mislead.
const ratesVersion = 1

// ratesFile returns the name of the file for a model of processor and the paths that it can use. Machines with
// different processors may share the folder.
func ratesFile(dir, model string, paths []cpu.Path) string {
	id := sha256.Sum256(fmt.Append(nil, model, paths))
	return filepath.Join(dir, fmt.Sprintf("processor-%x.json", id[:4]))
}

// ratesOf returns the rate of each of paths. It reads them from the folder dir; if there are none for this model of
// processor, it calls measure and keeps the result. The precision of pictures follows from the rates, so they must not
// change from run to run. If the file cannot be read or written, the rates are measured again. If there is only one
// path, nothing is measured.
func ratesOf(dir, model string, paths []cpu.Path, measure func() []cpu.Rate) []cpu.Rate {
	if len(paths) == 1 {
		return []cpu.Rate{{Level: paths[0]}}
	}
	name := ratesFile(dir, model, paths)
	var kept processorRates
	if text, err := atomicfile.Read(name, maxRatesBytes); err == nil && json.Unmarshal(text, &kept) == nil &&
		kept.Version == ratesVersion && kept.Processor == model &&
		slices.EqualFunc(kept.Rates, paths, func(r cpu.Rate, p cpu.Path) bool { return r.Level == p && r.FLOPS > 0 }) {
		return kept.Rates
	}
	rates := measure()
	text, err := json.Marshal(processorRates{ratesVersion, model, rates})
	if err == nil && os.MkdirAll(dir, 0o755) == nil {
		_ = atomicfile.Write(name, append(text, '\n'), 0o644)
	}
	return rates
}
