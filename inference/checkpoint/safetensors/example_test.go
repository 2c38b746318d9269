package safetensors_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"math"
	"os"
	"path/filepath"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Write a file with one tensor, whose values are made while they are written, and read it back.
func Example() {
	dir, err := os.MkdirTemp("", "safetensors")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "squares.safetensors")
	ctx := context.Background()

	out, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	squares := safetensors.Entry{
		Name: "squares", DType: tensor.F32, Shape: []int{2, 3},
		Fill: func(dst []byte, first int) error {
			for i := range len(dst) / 4 {
				n := float32(first + i)
				binary.LittleEndian.PutUint32(dst[i*4:], math.Float32bits(n*n))
			}
			return nil
		},
	}
	err = safetensors.Write(ctx, out, map[string]string{"made by": "an example"}, []safetensors.Entry{squares}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := out.Close(); err != nil {
		log.Fatal(err)
	}

	file, err := safetensors.Open(ctx, path) // the values stay in the file until they are read
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	for _, name := range file.Names() {
		t, err := file.Tensor(name)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(name, t.DType, t.Shape, t.Float32s())
	}
	fmt.Println("made by", file.Metadata()["made by"])
	// Output:
	// squares F32 [2 3] [0 1 4 9 16 25]
	// made by an example
}
