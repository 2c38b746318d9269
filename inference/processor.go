package inference

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"kleinbild/atomicfile"
	"kleinbild/inference/cpu"
)

// ProcessorRate is what one way to compute products does on one thread of this processor.
type ProcessorRate struct {
	Path string
	// BF16 says that the path multiplies bfloat16, else it multiplies float32.
	BF16   bool
	GFLOPS float64
	// Used marks the path that the processor takes.
	Used bool
}

// Processor describes this machine's processor as far as it matters here: cores and the path that products take. The
// rates are measured if this processor's are not known yet, which takes a few milliseconds.
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

// pathVariable names the environment variable that takes a path by its name, for measurements and to rule out a fault.
const pathVariable = "KLEINBILD_SIMD"

// processorPath makes the processor's backend use its fastest path, once in a process, and returns what the paths do.
// It is called before the first backend is made, never at a program's start: asking for a version does not wait for it.
var processorPath = sync.OnceValues(func() ([]cpu.Rate, error) {
	rates := ratesOf(kernelChoicesDir(), cpu.Model(), cpu.Paths(), cpu.Measure)
	path, err := chosenPath(rates, os.Getenv(pathVariable))
	if err != nil {
		return rates, err
	}
	_, err = cpu.Use(path)
	return rates, err
})

// chosenPath is the path with the name, or the fastest if name is "".
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

// processorRates is the file that keeps the rates.
type processorRates struct {
	// Version is ratesVersion, Processor the model that was measured.
	Version   int
	Processor string
	Rates     []cpu.Rate
}

// maxRatesBytes bounds the file of rates, which has some 200 bytes.
const maxRatesBytes = 16 << 10

// ratesVersion grows when the kernels change so much that old rates mislead.
const ratesVersion = 1

// ratesFile names the file of a model of processor and the paths that it may take, as machines may share the folder.
func ratesFile(dir, model string, paths []cpu.Path) string {
	id := sha256.Sum256(fmt.Append(nil, model, paths))
	return filepath.Join(dir, fmt.Sprintf("processor-%x.json", id[:4]))
}

// ratesOf returns the rate of each of paths: what the folder dir has for this model of processor, else what measure
// finds, which is then kept. A picture's precision follows from the rates, so they are measured once, not once a run. A
// file that cannot be read or written is as none. With one path there is nothing to measure.
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
