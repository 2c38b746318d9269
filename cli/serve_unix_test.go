//go:build unix

package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// inHome gives cmd a home folder of its own, and none of the environment variables that name other folders.
func inHome(cmd *exec.Cmd, home string, more ...string) *exec.Cmd {
	var env []string
	for _, v := range cmd.Env {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "XDG_") && !strings.HasPrefix(name, "KLEINBILD_MODEL") &&
			!strings.HasPrefix(name, "KLEINBILD_TOKEN") && !strings.HasPrefix(name, "HF_") {
			env = append(env, v)
		}
	}
	cmd.Env = append(env, append([]string{"HOME=" + home}, more...)...)
	return cmd
}

// served is a process of kleinbild serve.
type served struct {
	cmd     *exec.Cmd
	address string
	stderr  *bytes.Buffer
}

func serve(t *testing.T, home string, args ...string) *served {
	t.Helper()
	s := &served{cmd: inHome(program(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...), home),
		stderr: &bytes.Buffer{}}
	s.cmd.Stderr = s.stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = s.cmd.Wait()
		t.Fatalf("no address: %v: %s", err, s.stderr)
	}
	s.address = strings.TrimSpace(line)
	return s
}

// end sends a signal and returns the exit code and the text of standard error.
func (s *served) end(t *testing.T) (code int, said string) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(20*time.Second, func() { _ = s.cmd.Process.Kill() }).Stop()
	_ = s.cmd.Wait()
	return s.cmd.ProcessState.ExitCode(), s.stderr.String()
}

// fetch sends a GET request with a token and returns the status and the body.
func (s *served) fetch(t *testing.T, method, path, token string, body io.Reader) (int, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, s.address+path, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, all
}

func TestServe(t *testing.T) {
	home := t.TempDir()
	first := serve(t, home, "-m", model(t, "distilled"), "--log-format", "json")
	path := filepath.Join(home, ".config", "kleinbild", "token")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info, err)
	}
	token := strings.TrimSpace(string(readFile(t, path)))
	status, body := first.fetch(t, "POST", "/v1/images/generations", token,
		strings.NewReader(`{"prompt": "private", "size": "64x64", "steps": 1}`))
	var reply struct {
		Data []struct {
			B64JSON []byte `json:"b64_json"`
		}
	}
	if err := json.Unmarshal(body, &reply); err != nil || status != 200 || len(reply.Data) != 1 ||
		!bytes.HasPrefix(reply.Data[0].B64JSON, []byte("\x89PNG")) {
		t.Errorf("%d %.200s %v", status, body, err)
	}
	code, said := first.end(t)
	if code != exitOK || strings.Contains(said, token) || !strings.Contains(said, "the token is in "+path) ||
		strings.Contains(said, "private") || !strings.Contains(said, `"msg":"request"`) {
		t.Errorf("exit code %d: %s", code, said)
	}

	// The token is kept. It is never in a log, which is kept and which others read.
	second := serve(t, home, "-m", model(t, "distilled"))
	if status, _ := second.fetch(t, "GET", "/v1/models", token, nil); status != 200 {
		t.Errorf("the kept token: %d", status)
	}
	if code, said := second.end(t); code != exitOK || strings.Contains(said, token) || !strings.Contains(said, path) {
		t.Errorf("exit code %d: %s", code, said)
	}

	own := serve(t, home, "-m", model(t, "distilled"), "--token", "mine", "--model-alias", "gpt-image-1",
		"--model-alias=b,c")
	for _, name := range []string{"gpt-image-1", "flux2-klein-4b", "b", "c"} {
		if status, body := own.fetch(t, "GET", "/v1/models/"+name, "mine", nil); status != 200 {
			t.Errorf("--model-alias: %d %s", status, body)
		}
	}
	if a, _ := own.fetch(t, "GET", "/v1/models", "mine", nil); a != 200 {
		t.Errorf("--token: %d", a)
	}
	if b, _ := own.fetch(t, "GET", "/v1/models", token, nil); b != 401 {
		t.Errorf("--token: the kept one gives %d", b)
	}
	own.end(t)
}

// TestServeWithoutModel checks that the server starts with the demo model, says so, and uses another model when there
// is one.
func TestServeWithoutModel(t *testing.T) {
	home := t.TempDir()
	s := serve(t, home, "--no-auth")
	demoServes := func() bool {
		status, body := s.fetch(t, "GET", "/v1/models", "", nil)
		if status != 200 || !strings.Contains(string(body), "flux2-klein-4b") {
			t.Errorf("%d %s", status, body)
		}
		return strings.Contains(string(body), "kleinbild-demo")
	}
	if !demoServes() {
		t.Error("without a model: the demo model is not among those that answer")
	}
	dir := filepath.Join(home, ".local", "share", "kleinbild", "models", "flux2-klein-4b")
	if err := os.CopyFS(dir, os.DirFS(model(t, "distilled"))); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(20 * time.Second)
	for demoServes() {
		if time.Now().After(end) {
			t.Fatal("with a model: the demo model still serves")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if _, said := s.end(t); !strings.Contains(said,
		"demo model: simple drawings only; get the real one with: kleinbild models get") {
		t.Errorf("%s", said)
	}
}

func TestServeRefuses(t *testing.T) {
	home := t.TempDir()
	loose := filepath.Join(home, ".config", "kleinbild", "token")
	if err := os.MkdirAll(filepath.Dir(loose), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, loose, "x\n")
	if err := os.Chmod(loose, 0o644); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, row := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no token for the network", []string{"--no-auth", "--listen", "0.0.0.0:0"}, exitUsage, "want a loopback address"},
		{"two wishes", []string{"--no-auth", "--token", "x"}, exitUsage, "exclude each other"},
		{"two wishes with a file", []string{"--no-auth", "--token-file", "x"}, exitUsage, "exclude each other"},
		{"two tokens", []string{"--token", "x", "--token-file", "y"}, exitUsage, "exclude each other"},
		{"a token with a space", []string{"--token", "a b"}, exitUsage, wantToken},
		{"a token that no header carries", []string{"--token", "a\u202eb"}, exitUsage, wantToken},
		{"a token file that is a folder", []string{"--token-file", home}, exitFailure,
			"found a folder, want a file; - reads standard input"},
		{"a token file that is not there", []string{"--token-file", home + "/gone"}, exitFailure,
			"--token-file: " + home + "/gone is not there; - reads standard input"},
		{"no network without a token", []string{"--no-auth", "--listen", "[::]:0"}, exitUsage, "want a loopback address"},
		{"no port", []string{"--no-auth", "--listen", "127.0.0.1"}, exitUsage, "--listen 127.0.0.1: want ADDRESS:PORT"},
		{"a Unix socket", []string{"--no-auth", "--listen", "unix:/tmp/x"}, exitUsage,
			"the port is \"/tmp/x\", want a number"},
		{"a URL", []string{"--no-auth", "--listen", "http://127.0.0.1:80"}, exitUsage, "want ADDRESS:PORT"},
		{"a port too high", []string{"--no-auth", "--listen", "127.0.0.1:65536"}, exitUsage,
			"want a number from 0 (any free port) to 65535"},
		{"a port by name", []string{"--no-auth", "--listen", "127.0.0.1:http"}, exitUsage, "want a number"},
		{"an address of another machine", []string{"--no-auth", "--listen", "192.0.2.1:0"}, exitFailure,
			"this machine has no address 192.0.2.1"},
		{"a port in use", []string{"--no-auth", "--listen", taken.Addr().String()}, exitFailure,
			"another program uses this port"},
		{"a host with a port", []string{"--allow-host", "studio.lan:7820"}, exitUsage, "want a name without a port"},
		{"all websites", []string{"--allow-origin", "*"}, exitUsage, "want a website without a path"},
		{"websites without a name", []string{"--allow-origin", "null"}, exitUsage, "want a website without a path"},
		{"a page", []string{"--allow-origin", "https://paint.example/"}, exitUsage, "without a path"},
		{"queue", []string{"--queue", "0"}, exitUsage, "--queue 0, want 1 to 10000"},
		{"no name", []string{"--model-alias", "a,,b"}, exitUsage, "--model-id and --model-alias: found an empty name"},
		{"body", []string{"--max-body", "1000"}, exitUsage, "--max-body 1000, want 1 to 256"},
		{"grace", []string{"--grace", "0s"}, exitUsage, "--grace 0s"},
		{"address", []string{"--no-auth", "--listen", "nowhere"}, exitUsage, "--listen nowhere: want ADDRESS:PORT"},
		{"address before the model", []string{"--no-auth", "--listen", "nowhere", "-m", "gone"}, exitUsage,
			"--listen nowhere: want ADDRESS:PORT"},
		{"a model that is not there", []string{"-m", "gone"}, exitFailure, "model: gone: does not exist"},
		{"a token that others can read", nil, exitFailure, "mode 0644 lets others read it, want 0600"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out, err := inHome(program(t, append([]string{"serve"}, row.args...)...), home).CombinedOutput()
			code := exitOK
			if exit, ok := err.(*exec.ExitError); ok {
				code = exit.ExitCode()
			}
			last := regexp.MustCompile(`(?m)^kleinbild: .*$`).FindString(string(out))
			if code != row.code || !strings.Contains(last, row.want) {
				t.Errorf("exit code %d: %s; want %d, %s", code, out, row.code, row.want)
			}
		})
	}
}
