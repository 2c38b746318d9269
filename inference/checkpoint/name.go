package checkpoint

import "kleinbild/inference/checkpoint/safetensors"

// PlainName says whether name is that of one file in one folder on every system; see safetensors.PlainName.
func PlainName(name string) bool { return safetensors.PlainName(name) }
