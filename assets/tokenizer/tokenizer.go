// Package tokenizer carries the Qwen3 tokenizer for checkpoints that come without one. It holds bytes only; they are
// read by inference/tokenizer.
package tokenizer

import _ "embed"

// JSONGzip is the tokenizer.json of Qwen3, compressed with gzip. The Qwen team published it under the Apache
// License 2.0.
//
//go:embed tokenizer.json.gz
var JSONGzip []byte
