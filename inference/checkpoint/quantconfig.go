package checkpoint

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// checkQuantization returns an error if the quantization_config of a config.json names a layout that is not known for
// certain. If the layout is known, the formats and shapes of the tensors say the rest.
func checkQuantization(config []byte) error {
	var file struct {
		Quantization *struct {
			Method    string `json:"quant_method"`
			Algorithm string `json:"quant_algo"`
			Block     []int  `json:"weight_block_size"`
		} `json:"quantization_config"`
	}
	if err := json.Unmarshal(config, &file); err != nil {
		return fmt.Errorf("quantization_config: %w", err)
	}
	q := file.Quantization
	if q == nil {
		return nil
	}
	switch method := strings.ToLower(q.Method); method {
	case "fp8": // of transformers, as in Qwen3-FP8
		if q.Block != nil && !slices.Equal(q.Block, []int{fp8Block, fp8Block}) {
			return fmt.Errorf("quantization_config: weight_block_size is %v, want [%d %d]", q.Block, fp8Block, fp8Block)
		}
		return nil
	case "modelopt":
		if algorithms := []string{"FP8", "INT8", "NVFP4"}; !slices.Contains(algorithms, strings.ToUpper(q.Algorithm)) {
			return fmt.Errorf("quantization_config: quant_algo %.40q of NVIDIA ModelOpt is not supported, want one of %s",
				q.Algorithm, strings.Join(algorithms, ", "))
		}
		return nil
	}
	return fmt.Errorf("quantization_config: quant_method %.40q is not supported, want fp8 or modelopt", q.Method)
}
