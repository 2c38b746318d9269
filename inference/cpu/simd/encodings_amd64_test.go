package simd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEncodings disassembles the bytes of every instruction that the Go assembler does not know, and compares the text
// with the comment that the generator wrote above them.
func TestEncodings(t *testing.T) {
	objdump, err := exec.LookPath("objdump")
	if err != nil {
		t.Skip(err)
	}
	comment := regexp.MustCompile(`^\s*// ((?:tile|ldtilecfg|tdp|vdpbf16ps |vcvtneps2bf16 |(?:\{vex\} )?vpdpbusd ).*)$`)
	for _, file := range []struct {
		name     string
		least    int      // the instructions of this kind in the file
		mnemonic []string // some of them
	}{
		{"amx_amd64.s", 20, []string{"tilerelease", "tdpbf16ps", "tdpbssd"}},
		{"gemm_amd64.s", 48, []string{"vdpbf16ps"}},
		{"int8_amd64.s", 72, []string{"{vex} vpdpbusd", "vpdpbusd"}},
		{"blocks_amd64.s", 24, []string{"vcvtneps2bf16"}},
	} {
		var want []string
		var code []byte
		open := false
		for line := range strings.Lines(read(t, file.name)) {
			line = strings.TrimRight(line, "\n")
			if m := comment.FindStringSubmatch(line); m != nil {
				want, open = append(want, m[1]), true
			} else if word := strings.Fields(line); len(word) == 2 && word[0] == "BYTE" {
				b, err := strconv.ParseUint(word[1][1:], 0, 8)
				if err != nil {
					t.Fatal(err)
				}
				if !open {
					t.Fatalf("%s: bytes without a comment that says what they are", file.name)
				}
				code = append(code, byte(b))
			} else {
				open = false
			}
		}
		for _, mnemonic := range file.mnemonic {
			n := 0
			for _, text := range want {
				if strings.HasPrefix(text, mnemonic) {
					n++
				}
			}
			if n == 0 || len(want) < file.least {
				t.Fatalf("%s: %d instructions, %d of them %s, want at least %d and 1",
					file.name, len(want), n, mnemonic, file.least)
			}
		}
		name := filepath.Join(t.TempDir(), "code")
		if err := os.WriteFile(name, code, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(objdump, "-D", "-b", "binary", "-m", "i386:x86-64", "--no-show-raw-insn", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		if file.name == "amx_amd64.s" && !strings.Contains(string(out), "tilerelease") {
			t.Skip("this objdump knows no AMX")
		}
		var got []string
		for line := range strings.Lines(string(out)) {
			if at, text, ok := strings.Cut(line, ":\t"); ok && strings.TrimSpace(at) != "" {
				got = append(got, strings.Join(strings.Fields(text), " "))
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d instructions, want %d", file.name, len(got), len(want))
		}
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Errorf("%s: instruction %d is %s, want %s", file.name, i, got[i], want[i])
				break
			}
		}
	}
}
