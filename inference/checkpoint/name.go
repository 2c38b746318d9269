package checkpoint

import "github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"

// PlainName reports whether name is a safe file name on every system (see safetensors.PlainName).
func PlainName(name string) bool { return safetensors.PlainName(name) }
