// Command gemm compares the float32 matrix product with OpenBLAS at the model's shapes, the two in turn, and with
// the register peak of the same run. It needs a C compiler and OpenBLAS's development files; without them it gives
// the engine's own rates.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"kleinbild/inference/cpu/matmul"
	"kleinbild/inference/cpu/simd"
	"kleinbild/inference/tensor"
)

func main() {
	source := flag.String("source", "tools/bench/openblas.c", "the C program to compare with")
	seconds := flag.Float64("seconds", 1, "time for each measurement")
	rounds := flag.Int("rounds", 3, "measurements of each, in turn; the best counts")
	threads := flag.Int("threads", runtime.NumCPU(), "threads of both")
	ms := flag.String("m", "512,768,1536,4608", "rows of the activations")
	nks := flag.String("nk", "3072x3072,27648x3072,3072x12288,18432x3072,3072x9216,9728x2560,2560x9728,4096x2560", "weights")
	flag.Parse()
	if err := run(*source, *seconds, *rounds, *threads, *ms, *nks); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(source string, seconds float64, rounds, threads int, ms, nks string) error {
	runtime.GOMAXPROCS(threads)
	blas, err := startBLAS(source, threads, seconds)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: no OpenBLAS to compare with: %v\n", err)
	}
	fmt.Printf("%v, %d threads, register peak %.0f GFLOP/s float32", simd.Current(), threads, peak(threads, simd.Peak))
	if _, ok := simd.BF16(); ok {
		fmt.Printf(", %.0f bfloat16", peak(threads, simd.PeakBF16))
	}
	fmt.Println("\n\n| M | N | K | GFLOP/s | of peak | OpenBLAS | ratio |\n|---|---|---|---|---|---|---|")
	for _, nk := range strings.Split(nks, ",") {
		for _, mText := range strings.Split(ms, ",") {
			var m, n, k int
			if _, err := fmt.Sscanf(mText+" "+nk, "%d %dx%d", &m, &n, &k); err != nil {
				return fmt.Errorf("shape %q %q: %w", mText, nk, err)
			}
			own, theirs, top := 0.0, 0.0, 0.0
			product := newProduct(m, n, k)
			for range rounds {
				top = max(top, peak(threads, simd.Peak))
				own = max(own, best(seconds, 2*float64(m)*float64(n)*float64(k), product))
				if blas != nil {
					rate, err := blas.measure(m, n, k)
					if err != nil {
						return err
					}
					theirs = max(theirs, rate)
				}
			}
			fmt.Printf("| %d | %d | %d | %.1f | %.0f %% | %.1f | %.2f |\n", m, n, k, own, 100*own/top, theirs, own/theirs)
		}
	}
	return nil
}

// peak measures every thread's multiply-adds at once.
func peak(threads int, f func(n int) int) float64 {
	top := 0.0
	for range 5 {
		var wg sync.WaitGroup
		total := make([]int, threads)
		begin := time.Now()
		for t := range threads {
			wg.Go(func() { total[t] = f(2_000_000) })
		}
		wg.Wait()
		sum := 0
		for _, n := range total {
			sum += n
		}
		top = max(top, float64(sum)/time.Since(begin).Seconds()*1e-9)
	}
	return top
}

// newProduct returns a product of float32 activations by bfloat16 weights.
func newProduct(m, n, k int) func() {
	a := matmul.Matrix{Rows: m, Cols: k, Stride: k, F32: make([]float32, m*k)}
	for i := range a.F32 {
		a.F32[i] = float32(i%251)/251 - 0.5
	}
	c := matmul.Matrix{Rows: m, Cols: n, Stride: n, F32: make([]float32, m*n)}
	w := tensor.Tensor{Name: "w", DType: tensor.BF16, Shape: []int{n, k}, Data: make([]byte, 2*n*k), Scale: 1}
	for i := range w.Data {
		w.Data[i] = byte(i % 241)
		if i%2 == 1 {
			w.Data[i] = 0x3c + byte(i%3)
		}
	}
	return func() { matmul.Linear(nil, c, a, w, matmul.Float32, matmul.Epilogue{}) }
}

func best(seconds, flops float64, f func()) float64 {
	rate, begin := 0.0, time.Now()
	for first := true; first || time.Since(begin).Seconds() < seconds; first = false {
		t := time.Now()
		f()
		rate = max(rate, flops/time.Since(t).Seconds()*1e-9)
	}
	return rate
}

// openBLAS is the C program, built and running.
type openBLAS struct {
	in  io.Writer
	out *bufio.Scanner
}

func startBLAS(source string, threads int, seconds float64) (*openBLAS, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	binary := filepath.Join(dir, "openblas")
	cc := os.Getenv("CC")
	if cc == "" {
		cc = "cc"
	}
	if text, err := exec.Command(cc, "-O2", "-o", binary, source, "-lopenblas").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, strings.TrimSpace(string(text)))
	}
	cmd := exec.Command(binary, strconv.Itoa(threads), strconv.FormatFloat(seconds, 'g', -1, 64))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	os.RemoveAll(dir)
	return &openBLAS{in: in, out: bufio.NewScanner(out)}, nil
}

func (b *openBLAS) measure(m, n, k int) (float64, error) {
	fmt.Fprintln(b.in, m, n, k)
	if !b.out.Scan() {
		return 0, fmt.Errorf("openblas: ended at %d %d %d: %v", m, n, k, b.out.Err())
	}
	return strconv.ParseFloat(b.out.Text(), 64)
}
