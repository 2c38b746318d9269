package lora

import "strings"

// role is what a tensor is to its module.
type role int

const (
	noRole role = iota
	roleDown
	roleUp
	roleMid
	roleAlpha
	roleHada1A
	roleHada1B
	roleHada2A
	roleHada2B
	roleHadaT
	roleKron1
	roleKron1A
	roleKron1B
	roleKron2
	roleKron2A
	roleKron2B
	roleKronT
	roleMagnitude // PEFT's: of the rows of the weight
	roleDoRA      // LyCORIS': of its columns or of its rows
	roleDiff
	roleSet
	roleDiffBias
	roleNorm
	roles
)

// suffixes are the ends of tensors' names, after ".weight" and the name of a PEFT adapter (".default") are removed.
var suffixes = []struct {
	suffix string
	role   role
}{
	{".lora_A", roleDown}, {".lora_B", roleUp},
	{".lora_down", roleDown}, {".lora_up", roleUp},
	{".lora.down", roleDown}, {".lora.up", roleUp},
	{"_lora.down", roleDown}, {"_lora.up", roleUp},
	{".lora_linear_layer.down", roleDown}, {".lora_linear_layer.up", roleUp},
	{".lora_mid", roleMid},
	{".alpha", roleAlpha},
	{".hada_w1_a", roleHada1A}, {".hada_w1_b", roleHada1B}, {".hada_w2_a", roleHada2A}, {".hada_w2_b", roleHada2B},
	{".hada_t1", roleHadaT}, {".hada_t2", roleHadaT},
	{".lokr_w1", roleKron1}, {".lokr_w1_a", roleKron1A}, {".lokr_w1_b", roleKron1B},
	{".lokr_w2", roleKron2}, {".lokr_w2_a", roleKron2A}, {".lokr_w2_b", roleKron2B},
	{".lokr_t2", roleKronT},
	{".lora_magnitude_vector", roleMagnitude}, {".dora_scale", roleDoRA},
	{".diff", roleDiff}, {".set_weight", roleSet},
	{".diff_b", roleDiffBias}, {".w_norm", roleNorm}, {".b_norm", roleNorm},
}

// parseKey splits the name of a tensor into its module and its role there. The role is noRole if the tensor is no part
// of an adapter; module is then the name without ".weight" or ".bias".
func parseKey(key string) (module string, r role) {
	name := strings.TrimSuffix(key, ".weight")
	for range 2 {
		for _, s := range suffixes {
			if module, ok := strings.CutSuffix(name, s.suffix); ok && module != "" {
				return module, s.role
			}
		}
		var ok bool
		if name, ok = strings.CutSuffix(name, ".default"); !ok {
			break
		}
	}
	return strings.TrimSuffix(strings.TrimSuffix(key, ".weight"), ".bias"), noRole
}
