package inference

import "kleinbild/inference/cpu"

// Processor describes this machine's processor as far as it matters here: cores and instruction sets.
func Processor() string { return cpu.Describe() }
