package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kleinbild/kleinbild/history"
)

// endsIn is twice the time that a program may take from the signal to its end. Test machines are shared, so that it may
// take longer. Without the code under test, these programs would wait for ever, or for most of a minute.
const endsIn = 4 * time.Second

// hung makes the file at path behave like a file on a drive that does not answer: a program that opens it waits until
// the test ends, or until the system breaks the lease after 45 s. opened says whether a program is opening the file.
func hung(t *testing.T, path string) (opened func() bool) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if _, err := unix.FcntlInt(file.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err != nil {
		t.Skip("no leases here:", err)
	}
	return func() bool {
		kind, err := unix.FcntlInt(file.Fd(), unix.F_GETLEASE, 0)
		return err == nil && kind != unix.F_WRLCK
	}
}

// hungModel copies a model to dir. Its weights behave like files on a drive that does not answer.
func hungModel(t *testing.T, dir string) (path string, opened func() bool) {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS(model(t, "distilled"))); err != nil {
		t.Fatal(err)
	}
	return dir, hung(t, filepath.Join(dir, "vae", "diffusion_pytorch_model.safetensors"))
}

// waitingProgram is a process of the program that waits and gets one signal.
type waitingProgram struct {
	*exec.Cmd
	home   string
	stderr lockedText
	out    *bufio.Reader
	server string
}

// lockedText is a buffer that a test can read while a program writes to it.
type lockedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// start runs the program with args and a home folder of its own.
func (p *waitingProgram) start(t *testing.T, args ...string) {
	t.Helper()
	if p.Cmd == nil {
		p.Cmd = program(t, args...)
	}
	inHome(p.Cmd, p.home)
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Stdin, p.Stderr = in, &p.stderr
	if p.Stdout == nil {
		stdout, err := p.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		p.out = bufio.NewReader(stdout)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Process.Kill()
		in.Close()
		out.Close()
	})
}

// serve starts a server and waits for its address.
func (p *waitingProgram) serve(t *testing.T, args ...string) {
	t.Helper()
	p.start(t, append([]string{"serve", "--no-auth", "--listen", "127.0.0.1:0", "-m", model(t, "distilled")}, args...)...)
	line, err := p.out.ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, p.stderr.String())
	}
	p.server = strings.TrimSpace(line)
}

// draw starts a large picture on the server, which takes minutes.
func (p *waitingProgram) draw(t *testing.T) {
	t.Helper()
	request, err := http.NewRequest("POST", p.server+"/v1/generate", strings.NewReader(
		"--b\r\nContent-Disposition: form-data; name=prompt\r\n\r\nx\r\n"+
			"--b\r\nContent-Disposition: form-data; name=width\r\n\r\n2048\r\n"+
			"--b\r\nContent-Disposition: form-data; name=height\r\n\r\n2048\r\n--b--\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	request.Header.Set("Accept", "text/event-stream")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if lines.Text() == "event: progress" {
			return
		}
	}
	t.Fatal("the picture is not begun")
}

// until waits until happened returns true, which shows that the program waits. what names the event.
func (p *waitingProgram) until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not happen: %s", what, p.stderr.String())
		}
	}
}

// end sends one signal. It returns the state of the program after its end, and how long that took.
func (p *waitingProgram) end(t *testing.T, s os.Signal) (state *os.ProcessState, took time.Duration) {
	t.Helper()
	begin := time.Now()
	if err := p.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	defer time.AfterFunc(20*time.Second, func() { _ = p.Process.Kill() }).Stop()
	_ = p.Wait()
	return p.ProcessState, time.Since(begin)
}

// TestOneSignalEnds starts the program, makes it wait for something that never comes, and sends one signal.
func TestOneSignalEnds(t *testing.T) {
	model(t, "distilled") // create the model once, before the rows
	read := func(p *waitingProgram, least int) func() bool {
		counter := regexp.MustCompile(`rchar: (\d+)`)
		return func() bool {
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.Process.Pid))
			found := counter.FindSubmatch(text)
			if found == nil {
				return false
			}
			n, _ := strconv.Atoi(string(found[1]))
			return n > least
		}
	}
	for _, row := range []struct {
		name   string
		signal os.Signal
		begin  func(t *testing.T, p *waitingProgram) // makes the program wait, and returns then
		code   int
	}{
		{"generate opens weights", syscall.SIGTERM, func(t *testing.T, p *waitingProgram) {
			dir, opened := hungModel(t, filepath.Join(p.home, "m"))
			p.start(t, "generate", "-p", "x", "-m", dir)
			p.until(t, "weights are opened", opened)
		}, exitInterrupt},
		{"serve opens weights", syscall.SIGTERM, func(t *testing.T, p *waitingProgram) {
			dir, opened := hungModel(t, filepath.Join(p.home, "m"))
			p.start(t, "serve", "--no-auth", "--listen", "127.0.0.1:0", "-m", dir)
			p.until(t, "weights are opened", opened)
		}, exitInterrupt},
		{"doctor opens weights", syscall.SIGHUP, func(t *testing.T, p *waitingProgram) {
			_, opened := hungModel(t, filepath.Join(p.home, ".local", "share", "kleinbild", "models", "m"))
			p.start(t, "doctor")
			p.until(t, "weights are opened", opened)
		}, exitInterrupt},
		{"info opens a picture", os.Interrupt, func(t *testing.T, p *waitingProgram) {
			path := filepath.Join(p.home, "x.png")
			writePicture(t, path, 64, 64)
			opened := hung(t, path)
			p.start(t, "info", path)
			p.until(t, "the picture is opened", opened)
		}, exitInterrupt},
		{"tokens opens a tokenizer", syscall.SIGTERM, func(t *testing.T, p *waitingProgram) {
			path := filepath.Join(p.home, "tokenizer.json")
			writeFile(t, path, "{}")
			opened := hung(t, path)
			p.start(t, "tokens", "-p", "x", "-m", path)
			p.until(t, "the tokenizer is opened", opened)
		}, exitInterrupt},
		{"serve reads a token from standard input", syscall.SIGTERM, func(t *testing.T, p *waitingProgram) {
			p.start(t, "serve", "--token-file", "-", "--listen", "127.0.0.1:0", "-m", model(t, "distilled"))
			p.until(t, "the model is open", func() bool { return strings.Contains(p.stderr.String(), " on CPU") })
		}, exitInterrupt},
		{"models get asks", os.Interrupt, func(t *testing.T, p *waitingProgram) {
			p.start(t, "models", "get", "flux2-klein-9b")
			p.until(t, "the question", func() bool { return strings.Contains(p.stderr.String(), "Type yes") })
		}, exitInterrupt},
		{"models get waits for a hub", syscall.SIGHUP, func(t *testing.T, p *waitingProgram) {
			asked := make(chan struct{}, 1)
			leave := make(chan struct{})
			hub := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
				asked <- struct{}{}
				<-leave
			}))
			t.Cleanup(func() {
				close(leave)
				hub.Close()
			})
			p.start(t, "models", "get", "--base-url", hub.URL)
			<-asked
		}, exitInterrupt},
		{"models verify reads 64 GB", syscall.SIGTERM, func(t *testing.T, p *waitingProgram) {
			dir := filepath.Join(p.home, ".local", "share", "kleinbild", "models", "m")
			const size = 64 << 30
			if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "w"), nil, 0o644),
				os.Truncate(filepath.Join(dir, "w"), size)); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(dir, "kleinbild.json"),
				fmt.Sprintf(`{"model":"m","files":[{"path":"w","size":%d,"sha256":"%064d"}]}`, size, 0))
			p.start(t, "models", "verify", "m")
			p.until(t, "it reads", read(p, 16<<20))
		}, exitInterrupt},
		{"bench checkpoint writes", syscall.SIGTERM, func(t *testing.T, p *waitingProgram) {
			dir := filepath.Join(p.home, "bench")
			p.start(t, "bench", "checkpoint", dir)
			p.until(t, "it writes", func() bool {
				list, err := os.ReadDir(p.home)
				return err == nil && len(list) > 0
			})
		}, exitInterrupt},
		{"completion prints to nobody", syscall.SIGTERM, func(t *testing.T, p *waitingProgram) {
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { reader.Close() })
			full, err := unix.FcntlInt(writer.Fd(), unix.F_SETPIPE_SZ, 4096)
			if err != nil {
				t.Fatal(err)
			}
			p.Cmd = program(t, "completion", "fish")
			p.Stdout = writer
			p.start(t)
			writer.Close()
			p.until(t, "the pipe is full", func() bool {
				n, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCINQ)
				return err == nil && n > full-512
			})
		}, exitInterrupt},
		{"generate waits for the history", syscall.SIGTERM, func(t *testing.T, p *waitingProgram) {
			picture := filepath.Join(p.home, "x.png")
			writePicture(t, filepath.Join(p.home, "ref.png"), 64, 64)
			store := filepath.Join(p.home, ".local", "share", "kleinbild", "history.db")
			history.At(store, nil).Add(history.Entry{Path: picture})
			file, err := os.Open(store)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				file.Close()
				if len(readFile(t, picture)) == 0 {
					t.Error("the picture is lost")
				}
			})
			if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
			p.start(t, small(t, "-p", "x", "-i", filepath.Join(p.home, "ref.png"), "-o", picture)...)
			p.until(t, "the picture is written", func() bool { _, err := os.Stat(picture); return err == nil })
		}, exitInterrupt},
		{"serve has nothing to do", syscall.SIGHUP, func(t *testing.T, p *waitingProgram) { p.serve(t) }, exitOK},
		{"serve reads an upload that stands still", os.Interrupt, func(t *testing.T, p *waitingProgram) {
			p.serve(t)
			conn, err := net.Dial("tcp", strings.TrimPrefix(p.server, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			fmt.Fprint(conn, "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"+
				"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n")
			// The server reads the body.
			if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.Contains(line, " 100 ") {
				t.Fatalf("%q, %v", line, err)
			}
		}, exitOK},
		{"serve draws, with a short grace", syscall.SIGTERM, func(t *testing.T, p *waitingProgram) {
			p.serve(t, "--grace", "100ms")
			p.draw(t)
		}, exitOK},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := &waitingProgram{home: t.TempDir()}
			row.begin(t, p)
			state, took := p.end(t, row.signal)
			if state.ExitCode() != row.code || took > endsIn {
				t.Errorf("%v after %v, want exit code %d within %v: %s", state, took, row.code, endsIn, p.stderr.String())
			}
			t.Logf("ended after %v", took)
		})
	}
}

// TestSecondSignal checks that a second signal ends the program at once, without waiting for the picture under way.
func TestSecondSignal(t *testing.T) {
	p := &waitingProgram{home: t.TempDir()}
	p.serve(t, "--grace", "1h")
	p.draw(t)
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.until(t, "the end begins", func() bool { return strings.Contains(p.stderr.String(), "shutting down") })
	if state, took := p.end(t, os.Interrupt); !strings.Contains(state.String(), "interrupt") || took > endsIn {
		t.Errorf("%v after %v", state, took)
	}
}

// TestNoHangup checks that a server that was started with nohup goes on when its terminal is closed.
func TestNoHangup(t *testing.T) {
	p := &waitingProgram{home: t.TempDir()}
	inner := program(t, "serve", "--no-auth", "--listen", "127.0.0.1:0", "-m", model(t, "distilled"))
	p.Cmd = exec.Command("sh", append([]string{"-c", `trap "" HUP; exec "$@"`, "sh"}, inner.Args...)...)
	p.Env = inner.Env
	p.serve(t)
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.until(t, "the model is open", func() bool {
		response, err := http.Get(p.server + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	if state, _ := p.end(t, syscall.SIGTERM); state.ExitCode() != exitOK ||
		strings.Count(p.stderr.String(), "shutting down") != 1 {
		t.Errorf("%v: %s", state, p.stderr.String())
	}
}

// TestLogReaderLeaves ends the reader of the log before the server, as Ctrl+C ends tee. Neither the server nor its
// picture may end.
func TestLogReaderLeaves(t *testing.T) {
	p := &waitingProgram{home: t.TempDir()}
	p.Cmd = program(t, "serve", "--no-auth", "--listen", "127.0.0.1:0", "-m", model(t, "distilled"))
	inHome(p.Cmd, p.home)
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Stderr = writer
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	writer.Close()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	for range 2 { // each request writes a line to the log
		response, err := http.Get(strings.TrimSpace(line) + "/v1/models")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
	}
	if state, took := p.end(t, syscall.SIGTERM); state.ExitCode() != exitOK || took > endsIn {
		t.Errorf("%v after %v", state, took)
	}
}
