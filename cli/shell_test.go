package cli

import (
	"os/exec"
	"strings"
	"testing"
)

// TestBashCompletion asks bash what it would offer.
func TestBashCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("bash is not installed")
	}
	script := mustMake(t, "completion", "bash").out
	for _, row := range []struct{ line, want, not string }{
		{"kleinbild ", "generate models", "--prompt manual"},
		{"kleinbild gen", "generate", "models"},
		{"kleinbild generate --s", "--size --seed --steps", "--prompt"},
		{"kleinbild generate -p serve --l", "--like", "--listen"},
		{"kleinbild models ", "list get verify path rm", "generate"},
		{"kleinbild models get --b", "--base-url", "--json"},
		{"kleinbild models list --j", "--json", "--base-url"},
		{"kleinbild generate x.p", "", "x.png"},
	} {
		program := script + `
COMP_LINE="$1"; read -ra COMP_WORDS <<<"$1"
[[ "$1" == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _kleinbild; echo "${COMPREPLY[@]}"`
		out, err := exec.Command(bash, "-c", program, "bash", row.line).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		offered := " " + strings.TrimSpace(string(out)) + " "
		for word := range strings.FieldsSeq(row.want) {
			if !strings.Contains(offered, " "+word+" ") {
				t.Errorf("%q offers%s, want %s", row.line, offered, word)
			}
		}
		for word := range strings.FieldsSeq(row.not) {
			if strings.Contains(offered, " "+word+" ") {
				t.Errorf("%q offers %s", row.line, word)
			}
		}
	}
}

// TestShellScripts: those of other shells are sound where the shell is there to say so, and name every command.
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
	for _, want := range []string{".TH KLEINBILD 1", ".SS generate", `\-\-prompt=TEXT`, ".SS models get", `\-\-allow\-remote\-uris`, "KLEINBILD_TOKEN", "EXIT STATUS"} {
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
