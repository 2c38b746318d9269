// Command gen writes the assembly of package simd, a file for each part:
//
//	go run ./gen -part gemm -out gemm_amd64.s -stubs gemm_amd64.go -pkg simd
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	part := flag.String("part", "", "amx, blocks, cpuid, gemm, int8, pack or vector")
	flag.Parse()
	switch *part {
	case "amx":
		amx()
	case "blocks":
		blocks()
	case "cpuid":
		cpuid()
	case "gemm":
		gemm()
	case "int8":
		int8s()
	case "pack":
		pack()
	case "vector":
		vector()
	default:
		fmt.Fprintf(os.Stderr, "gen: -part %q: want amx, blocks, cpuid, gemm, int8, pack or vector\n", *part)
		os.Exit(2)
	}
	Generate()
}

// doc sets the comment of the function's stub to the lines of text.
func doc(text string) { Doc(strings.Split(text, "\n")...) }
