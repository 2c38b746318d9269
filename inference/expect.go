package inference

import (
	"runtime"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// costs4B are the costs of FLUX.2 [klein] 4B, so that what it takes can be said before it is there. A test counts them
// again from its configs.
var costs4B = Costs{
	PromptToken: 2_724_986_880, StepToken: 3_067_084_800, StepPair: 153_600, DecodePixel: 5e6, EncodePixel: 2.5e6,
}

// ExpectedTime4B says about how long this computer's processor takes for a picture of 1024×1024 pixels with FLUX.2
// [klein] 4B in its four steps. It is counted: the arithmetic, over the rate that was measured of this processor's
// products, less what whole pictures lost of that rate on the processors of docs/speed.md. The error is that of
// Processor.
func ExpectedTime4B() (time.Duration, error) {
	_, rates, err := Processor()
	if err != nil {
		return 0, err
	}
	for _, r := range rates {
		if r.Used && r.Format != Int8 {
			return expectedTime(r, runtime.GOMAXPROCS(0)), nil
		}
	}
	return 0, nil
}

// expectedTime is ExpectedTime4B for a path on a number of threads.
func expectedTime(r ProcessorRate, threads int) time.Duration {
	steps, _ := Distilled.defaults()
	work := costs4B.work(shape{size: picture.Size{Width: 1024, Height: 1024}, steps: steps}, MaxSequenceLength)
	flops := r.GFLOPS * 1e9 * float64(threads) * shareOf(r)
	if !(flops > 0) {
		return 0
	}
	return time.Duration(2 * work / flops * float64(time.Second))
}

// shareOf returns the part of a path's rate that whole pictures reached, see docs/speed.md: AVX-512 91 %, AVX512-BF16
// 82 %; AMX 39 %, as its units wait for memory.
func shareOf(r ProcessorRate) float64 {
	switch {
	case strings.Contains(r.Path, "AMX"):
		return 0.39
	case r.Format == BF16:
		return 0.82
	}
	return 0.91
}
