package inference

import (
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

// TestCosts4B counts the costs of the 4B model from its configs.
func TestCosts4B(t *testing.T) {
	e, err := openHollow(synthetic.Full4B(), nil, Options{Device: DeviceSim})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got := e.costs(); got != costs4B {
		t.Errorf("%+v, want %+v", got, costs4B)
	}
}

// TestExpectedTime compares what is expected with what was measured: docs/speed.md.
func TestExpectedTime(t *testing.T) {
	bf16 := ProcessorRate{Path: "AVX512-BF16", Format: BF16, GFLOPS: 227}
	two := expectedTime(bf16, 2)
	if two < 4*time.Minute || two > 12*time.Minute {
		t.Errorf("%v on two threads", two)
	}
	if four := expectedTime(bf16, 4); four < two/2-time.Millisecond || four > two/2+time.Millisecond {
		t.Errorf("%v on four threads, %v on two", four, two)
	}
	if amx := expectedTime(ProcessorRate{Path: "AMX", Format: BF16, GFLOPS: 1805}, 2); amx <= 0 || amx > two/3 {
		t.Errorf("%v by AMX", amx)
	}
	if none := expectedTime(ProcessorRate{}, 2); none != 0 {
		t.Errorf("%v without a rate", none)
	}
	if got, err := ExpectedTime4B(); err != nil || got <= 0 {
		t.Errorf("here: %v, %v", got, err)
	}
}
