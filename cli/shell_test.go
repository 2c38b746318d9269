package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// completers are programs for each shell. They source the script in $SCRIPT and print the words that it offers for the
// line $LINE, one to a line.
var completers = map[string]string{
	"bash": `source "$SCRIPT"
COMP_LINE="$LINE"; read -ra COMP_WORDS <<<"$LINE"
[[ "$LINE" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _kleinbild; printf '%s\n' "${COMPREPLY[@]}"`,
	// zsh offers words through compadd, which takes the word that is typed from PREFIX.
	"zsh": `compdef() { : } ; _files() { : }
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
			for _, row := range []struct{ line, want, not string }{
				{"kleinbild ", "generate models", "--prompt manual"},
				{"kleinbild gen", "generate", "models"},
				{"kleinbild generate --s", "--size --seed --steps", "--prompt"},
				{"kleinbild generate -p serve --l", "--like", "--listen"},
				{"kleinbild models ", "list get verify path rm", "generate"},
				{"kleinbild models get --b", "--base-url", "--json"},
				{"kleinbild models list --j", "--json", "--base-url"},
				{"kleinbild generate x.p", "", "x.png generate"},
			} {
				command := exec.Command(path, "-c", program)
				command.Env = append(os.Environ(), "SCRIPT="+script, "LINE="+row.line, "HOME="+t.TempDir())
				out, err := command.CombinedOutput()
				if err != nil {
					t.Fatalf("%v: %s", err, out)
				}
				offered := strings.Fields(string(out))
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

func TestManual(t *testing.T) {
	page := mustMake(t, "manual").out
	for _, want := range []string{
		".TH KLEINBILD 1", ".SS generate", `\-\-prompt=TEXT`, ".SS models get", `\-\-allow\-remote\-uris`, "KLEINBILD_TOKEN",
		"EXIT STATUS",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the manual lacks %s", want)
		}
	}
	if again := mustMake(t, "manual").out; again != page {
		t.Error("the manual differs from call to call")
	}
	if help := mustMake(t, "--help").out; strings.Contains(help, "manual") {
		t.Error("the command is not hidden")
	}
}
