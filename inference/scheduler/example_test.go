package scheduler_test

import (
	"fmt"

	"github.com/kleinbild/kleinbild/inference/scheduler"
)

// A seed gives the values that torch.randn gives on a CPU generator with the same seed.
func ExampleNoise() {
	for _, v := range scheduler.Noise(0, 16)[:4] {
		fmt.Printf("%.4f\n", v)
	}
	// Output:
	// -1.1258
	// -1.1524
	// -0.2506
	// -0.4339
}

// A picture of 1024×1024 pixels has 64×64 tokens; four steps take its noise from level 1 down to 0.
func ExampleSigmas() {
	fmt.Printf("%.3f\n", scheduler.Sigmas(64*64, 4))
	// Output: [1.000 0.967 0.908 0.767 0.000]
}
