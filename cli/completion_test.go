package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/models"
)

// offersFiles says whether a shell offers files: bash does so if the script offers nothing and does not forbid it, zsh
// if the script asks for it. fish lists the files in the working directory.
var offersFiles = map[string]func(offered []string) bool{
	"bash": func(offered []string) bool { return len(offered) == 0 },
	"zsh":  func(offered []string) bool { return slices.Contains(offered, "files") },
	"fish": func(offered []string) bool { return slices.Contains(offered, "x.png") },
}

// completers are programs for each shell. They source the script in $SCRIPT and print the words that it offers for the
// line $LINE, one to a line.
var completers = map[string]string{
	// bash makes words of the signs of equality.
	"bash": `source "$SCRIPT"
compopt() { echo "compopt$*"; }
COMP_LINE="$LINE"; read -ra COMP_WORDS <<<"${LINE//=/ = }"
[[ "$LINE" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _kleinbild; printf '%s\n' "${COMPREPLY[@]}"`,
	// zsh offers words through compadd, which takes the word that is typed from PREFIX.
	"zsh": `compdef() { : } ; _files() { print files }
compset() { PREFIX="${PREFIX#*=}" }
compadd() { shift; print -l -- ${(M)@:#${PREFIX}*} }
source "$SCRIPT"
words=(${(z)LINE}); [[ "$LINE" == *" " ]] && words+=("")
CURRENT=$#words; PREFIX="${words[CURRENT]}"; _kleinbild`,
	// fish prints a description after each word.
	"fish": `source "$SCRIPT"; complete -C "$LINE" | string split -f 1 \t; true`,
}

// TestCompletion asks each shell that is installed what it would offer.
func TestCompletion(t *testing.T) {
	for shell, program := range completers {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(shell + " is not installed")
			}
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script, []byte(mustMake(t, "completion", shell).out), 0o600); err != nil {
				t.Fatal(err)
			}
			home := t.TempDir()
			for _, name := range []string{"mine-4b", "half-9b.part", "two words", "a$(b)"} {
				if err := os.MkdirAll(filepath.Join(home, ".local/share/kleinbild/models", name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(home, "x.png"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			const aspects = "square landscape portrait photo photo_v standard standard_v wide match"
			for _, row := range []struct {
				line, want, not string
				files           bool
			}{
				{"kleinbild ", "generate models", "--prompt manual", false},
				{"kleinbild gen", "generate", "models", false},
				{"kleinbild generate --s", "--size --seed --steps", "--prompt", false},
				{"kleinbild generate -p serve --l", "--like", "--listen", false},
				{"kleinbild models ", "list get verify path rm convert", "generate", false},
				{"kleinbild models get --b", "--base-url", "--json", false},
				{"kleinbild models list --j", "--json", "--base-url", false},
				{"kleinbild generate x.p", "", "generate", true},
				{"kleinbild-cli generate --s", "--size --seed --steps", "--prompt", false},
				{"kleinbild-cli models ", "list get verify path rm", "generate", false},
				{"kleinbild generate -a ", aspects, "generate --prompt", false},
				{"kleinbild generate -a po", "portrait", "landscape photo", false},
				{"kleinbild-cli generate --aspect ph", "photo photo_v", "portrait", false},
				{"kleinbild generate --aspect=ph", "photo photo_v", "portrait", false},
				{"kleinbild generate --device ", "auto cpu cuda sim", "--prompt", false},
				{"kleinbild generate --device=cp", "cpu", "auto cuda", false},
				{"kleinbild bench tune --device ", "cuda sim", "auto cpu", false},
				{"kleinbild serve --precision ", "auto float32 bf16", "--token", false},
				{"kleinbild serve --log-format j", "json", "text", false},
				{"kleinbild serve --variant ", "distilled base kv", "--token", false},
				{"kleinbild generate -m flux2-klein-4b", "flux2-klein-4b flux2-klein-4b-fp8", "flux2-klein-9b", false},
				{"kleinbild generate -m d", "demo", "mine-4b", false},
				{"kleinbild generate -m mi", "mine-4b", "demo", false},
				{"kleinbild models rm ", "mine-4b half-9b flux2-klein-4b", "two words a$(b) demo", false},
				{"kleinbild models get f", "flux2-klein-9b", "mine-4b", false},
				{"kleinbild models convert --to Q4", "Q4_K Q4_0", "Q8_0 demo", false},
				{"kleinbild models convert --part ", "transformer text-encoder", "--to", false},
				{"kleinbild completion ", "bash zsh fish", "generate", false},
				{"kleinbild generate -i x", "", "generate", true},
				{"kleinbild info x", "", "generate", true},
				{"kleinbild generate -s ", "", "--prompt generate", false},
				{"kleinbild generate -p ", "", "--prompt generate", false},
			} {
				command := exec.Command(path, "-c", program)
				command.Env = append(os.Environ(), "SCRIPT="+script, "LINE="+row.line, "HOME="+home, "XDG_DATA_HOME=")
				command.Dir = home
				out, err := command.CombinedOutput()
				if err != nil {
					t.Fatalf("%q: %v: %s", row.line, err, out)
				}
				offered := strings.Fields(string(out))
				for i, word := range offered {
					if shell == "fish" { // which repeats what stands before the value
						_, value, found := strings.Cut(word, "=")
						if found {
							offered[i] = value
						}
					}
				}
				for word := range strings.FieldsSeq(row.want) {
					if !slices.Contains(offered, word) {
						t.Errorf("%q offers %q, want %s", row.line, offered, word)
					}
				}
				for word := range strings.FieldsSeq(row.not) {
					if slices.Contains(offered, word) {
						t.Errorf("%q offers %s", row.line, word)
					}
				}
				if files := offersFiles[shell](offered); files != row.files && (row.files || row.want == "") {
					t.Errorf("%q offers %q; files: %t, want %t", row.line, offered, files, row.files)
				}
			}
		})
	}
}

// TestShellScripts checks that each script names commands and flags, and its syntax if the shell is installed.
func TestShellScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script := mustMake(t, "completion", shell).out
		for _, want := range []string{"generate", "serve", "models", "verify", "max-sequence-length", "accept-licence"} {
			if !strings.Contains(script, want) {
				t.Errorf("%s: lacks %s", shell, want)
			}
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		command := exec.Command(path, "-n")
		command.Stdin = strings.NewReader(script)
		if out, err := command.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", shell, err, out)
		}
	}
	if got := call("", "completion", "cmd"); got.code != exitUsage || !strings.Contains(got.err, "bash") {
		t.Errorf("%+v", got)
	}
}

// TestCompletionValues checks that the parser takes every word that is offered as a value.
func TestCompletionValues(t *testing.T) {
	accepted := map[string]func(word string) error{
		"aspect":    func(word string) error { _, err := picture.ParseAspectRatio(word); return err },
		"device":    func(word string) error { _, err := inference.ParseDevice(word); return err },
		"precision": func(word string) error { _, err := inference.ParsePrecision(word); return err },
		"variant":   func(word string) error { _, err := inference.ParseVariant(word); return err },
		"to":        func(word string) error { _, err := inference.ConvertExtension(word); return err },
		"name":      func(word string) error { _, err := models.Find(word); return err },
	}
	for name, accept := range accepted {
		kind, words := values(&kong.Value{Name: name, Tag: &kong.Tag{}})
		if kind == "" || words == "" {
			t.Errorf("%s: nothing is offered", name)
		}
		for word := range strings.FieldsSeq(words) {
			if err := accept(word); err != nil {
				t.Errorf("%s offers %s: %v", name, word, err)
			}
		}
	}
}
