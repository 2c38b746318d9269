package tokenizer

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	asset "github.com/kleinbild/kleinbild/assets/tokenizer"
)

func BenchmarkOpen(b *testing.B) {
	unzip, err := gzip.NewReader(bytes.NewReader(asset.JSONGzip))
	if err != nil {
		b.Fatal(err)
	}
	data, err := io.ReadAll(unzip)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := parse("tokenizer.json", data, config{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncode encodes prose, and texts for which a naive implementation takes quadratic time.
func BenchmarkEncode(b *testing.B) {
	tok := embedded(b)
	for _, row := range []struct{ name, text string }{
		{"prose", strings.Repeat("a red fox in the snow, photographed at dawn with a long lens. ", 1600)},
		{"one word of a", strings.Repeat("a", 100_000)},
		{"one word mixed", strings.Repeat("fnqxzetaoin", 9_100)},
		{"one run of spaces", strings.Repeat(" ", 100_000) + "x"},
		{"space pairs", strings.Repeat(" \n", 50_000)},
		{"marks", "a" + strings.Repeat("\u0323\u0301", 50_000)},
		{"prefixes of special tokens", strings.Repeat("<|im_", 20_000)},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.SetBytes(int64(len(row.text)))
			for b.Loop() {
				tok.Encode(row.text)
			}
		})
	}
}
