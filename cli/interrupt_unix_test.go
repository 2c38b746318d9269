//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// program returns a command that runs the command line in a process of its own.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// atOnce is how soon a program must end. It takes less than a second on an idle machine, but test machines are shared.
// Without the interrupt the runs would take minutes.
const atOnce = 5 * time.Second

// interrupted starts cmd and sends SIGINT when a line of standard error contains when, or after a moment if when is "".
// It returns the exit code, the time from the signal to the end, and the text of standard error. Nothing must come on
// standard output.
func interrupted(t *testing.T, cmd *exec.Cmd, when string) (code int, took time.Duration, said string) {
	t.Helper()
	code, took, out, said := signalled(t, cmd, os.Interrupt, when)
	if out != "" {
		t.Errorf("standard output %q", out)
	}
	return code, took, said
}

// signalled is interrupted for any signal. It also returns the text of standard output.
func signalled(
	t *testing.T, cmd *exec.Cmd, signal os.Signal, when string,
) (code int, took time.Duration, printed, said string) {
	t.Helper()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() }).Stop()
	var text strings.Builder
	lines := bufio.NewScanner(stderr)
	if when == "" {
		time.Sleep(300 * time.Millisecond)
	}
	for when != "" && lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), when) {
			break
		}
	}
	start := time.Now()
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
	}
	_ = cmd.Wait() // the exit code is checked below
	return cmd.ProcessState.ExitCode(), time.Since(start), out.String(), text.String()
}

func TestInterrupt(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "old.png", "precious")
	writePicture(t, "ref.png", 1024, 1024)
	large := func(more ...string) []string {
		return append([]string{"generate", "-m", model(t, "distilled"), "-p", "x", "--size", "2048x1024", "-o", "old.png"},
			more...)
	}
	before := names(t)
	for _, row := range []struct {
		name string
		args []string
		when string
	}{
		{"references", large("-i", "ref.png"), "references"},
		{"steps", large(), "steps"},
		{"between pictures", []string{"generate", "-m", model(t, "distilled"), "-p", "x", "--size", "64x64", "--steps",
			"1000", "-n", "2", "-o", "old.png"}, "step 3/"},
	} {
		t.Run(row.name, func(t *testing.T) {
			code, took, said := interrupted(t, program(t, row.args...), row.when)
			if code != exitInterrupt || took > atOnce || !strings.HasSuffix(said, "kleinbild: cancelled\n") {
				t.Errorf("exit code %d after %v: %s", code, took, said)
			}
			if after := names(t); !slices.Equal(before, after) || string(readFile(t, "old.png")) != "precious" {
				t.Errorf("files before %v, after %v", before, after)
			}
		})
	}
}

// TestInterruptWhileReading checks that SIGINT ends a program that waits for standard input.
func TestInterruptWhileReading(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
	}{
		{"generate", []string{"generate", "-m", model(t, "distilled"), "-p", "-"}},
		{"tokens", []string{"tokens", "-m", model(t, "distilled"), "-p", "-"}},
		{"tokens, JSON lines", []string{"tokens", "-m", model(t, "distilled"), "--json"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			cmd := program(t, row.args...)
			in, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			defer out.Close()
			cmd.Stdin = in
			if code, took, said := interrupted(t, cmd, ""); code != exitInterrupt || took > atOnce {
				t.Errorf("exit code %d after %v: %s", code, took, said)
			}
		})
	}
}

// TestPipesAreRefused checks that a named pipe is an error: opening a pipe to which nobody writes would wait for ever.
func TestPipesAreRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := unix.Mkfifo("pipe", 0o666); err != nil {
		t.Fatal(err)
	}
	link := func(dir, file string) string {
		t.Helper()
		if err := os.CopyFS(dir, os.DirFS(model(t, "distilled"))); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, file)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkfifo(path, 0o666); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, row := range []struct {
		name string
		args []string
		file string
	}{
		{"model", small(t, "-p", "x", "-m", "pipe"), "pipe"},
		{"reference", small(t, "-p", "x", "-i", "pipe"), "pipe"},
		{"noise", small(t, "-p", "x", "--noise", "pipe"), "pipe"},
		{"like", small(t, "--like", "pipe"), "pipe"},
		{"info", []string{"info", "pipe"}, "pipe"},
		{"tokens", []string{"tokens", "-p", "x", "-m", "pipe"}, "pipe"},
		{"model_index.json", small(t, "-p", "x", "-m", link("a", "model_index.json")), "a/model_index.json"},
		{"config.json", small(t, "-p", "x", "-m", link("b", "vae/config.json")), "b/vae/config.json"},
		{"weights", small(t, "-p", "x", "-m", link("c", "vae/diffusion_pytorch_model.safetensors")),
			"c/vae/diffusion_pytorch_model.safetensors"},
		{"index", small(t, "-p", "x", "-m", link("d", "text_encoder/model.safetensors.index.json")),
			"d/text_encoder/model.safetensors.index.json"},
		{"tokenizer", small(t, "-p", "x", "-m", link("e", "tokenizer/tokenizer.json")), "e/tokenizer/tokenizer.json"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cmd := program(t, row.args...)
			var said bytes.Buffer
			cmd.Stderr, cmd.Stdout = &said, io.Discard
			kill := time.AfterFunc(10*time.Second, func() { cmd.Process.Signal(syscall.SIGKILL) })
			defer kill.Stop()
			_ = cmd.Run() // the exit code is checked below
			if code := cmd.ProcessState.ExitCode(); code != exitFailure || !strings.Contains(said.String(), row.file) ||
				strings.Count(said.String(), "\n") != 1 {
				t.Errorf("exit code %d: %q", code, said.String())
			}
		})
	}
}
