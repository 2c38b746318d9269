package client

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/server"
)

// asServer is the environment variable that makes the test binary a server, for tests that kill one. Its value is the
// model's folder.
const asServer = "KLEINBILD_TEST_AS_SERVER"

// mustBalance is the environment variable that makes a missing HAProxy a failure.
const mustBalance = "KLEINBILD_TEST_BALANCE"

func TestMain(m *testing.M) {
	if model := os.Getenv(asServer); model != "" {
		if err := serveForTests(model, os.Args[1], os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// recording is an engine that writes a line about the beginning and the end of each run, which outlives the process.
type recording struct {
	*inference.Engine
	file *os.File
}

func (r recording) Generate(
	ctx context.Context, req inference.Request, progress func(inference.Progress),
) (*inference.Result, error) {
	fmt.Fprintln(r.file, "begun", req.Seed())
	result, err := r.Engine.Generate(ctx, req, func(p inference.Progress) {
		if p.Stage == inference.StageSteps {
			time.Sleep(5 * time.Millisecond) // so that a picture takes long enough to be met by a kill
		}
		progress(p)
	})
	if err != nil {
		fmt.Fprintln(r.file, "failed", req.Seed())
	} else {
		fmt.Fprintln(r.file, "made", req.Seed())
	}
	return result, err
}

// serveForTests serves a model with TLS on a free port, prints the port, and ends with the process.
func serveForTests(model, certificate, key, record string) error {
	engine, err := inference.Open(context.Background(), inference.Options{
		Model: model, Device: inference.DeviceCPU, Precision: inference.Float32, MaxSequenceLength: 32,
	})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(record, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s, err := server.New(server.Options{
		Opened: server.Model{Engine: recording{engine, file}}, Token: token, Hosts: []string{"studio.lan"},
		Open: func(context.Context) (server.Model, error) {
			return server.Model{Engine: recording{engine, file}}, nil
		},
	})
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	return s.Serve(context.Background(), tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"},
	}))
}

// machine is a server in a process of its own.
type machine struct {
	*exec.Cmd
	port, record string
}

func (a *authority) startMachine(model, name string) *machine {
	a.t.Helper()
	a.sign(name, time.Now().Add(time.Hour))
	m := &machine{record: a.path(name + ".record")}
	m.Cmd = exec.Command(os.Args[0], a.path(name+".crt"), a.path(name+".key"), m.record)
	m.Env = append(os.Environ(), asServer+"="+model)
	m.Stderr = os.Stderr
	out, err := m.StdoutPipe()
	if err == nil {
		err = m.Start()
	}
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		_ = m.Process.Kill()
		_ = m.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		a.t.Fatal(err)
	}
	m.port = strings.TrimSpace(line)
	return m
}

// lines returns how often each line is in the machine's record.
func (m *machine) lines(t testing.TB) map[string]int {
	t.Helper()
	text, err := os.ReadFile(m.record)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	count := map[string]int{}
	for line := range strings.Lines(string(text)) {
		count[strings.TrimSpace(line)]++
	}
	return count
}

// total counts the lines that begin with a word.
func total(lines map[string]int, word string) (n int) {
	for line, count := range lines {
		if strings.HasPrefix(line, word+" ") {
			n += count
		}
	}
	return n
}

// startHAProxy runs HAProxy with the configuration of docs/several-machines.md and returns its address.
func (a *authority) startHAProxy(program string, one, two *machine) string {
	a.t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "several-machines.md"))
	if err != nil {
		a.t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```haproxy\n(.*?)```").FindSubmatch(page)
	if block == nil {
		a.t.Fatal("the page has no configuration")
	}
	address := freePort(a.t)
	a.sign("127.0.0.1", time.Now().Add(time.Hour))
	// Only addresses and paths of files are those of the test.
	text := string(block[1])
	for from, to := range map[string]string{
		"bind :7820 ": "bind " + address + " ", "/etc/haproxy/studio.lan.pem": a.path("127.0.0.1.pem"),
		"/etc/haproxy/ca.pem": a.path("ca.pem"),
		"one.lan:7820 ":       "127.0.0.1:" + one.port + " ", "two.lan:7820 ": "127.0.0.1:" + two.port + " ",
	} {
		if strings.Count(text, from) != 1 {
			a.t.Fatalf("the configuration has %q %d times, want once", from, strings.Count(text, from))
		}
		text = strings.ReplaceAll(text, from, to)
	}
	a.write("haproxy.cfg", []byte(text))
	var said bytes.Buffer
	proxy := exec.Command(program, "-db", "-f", a.path("haproxy.cfg"))
	proxy.Stdout, proxy.Stderr = &said, &said
	if err := proxy.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		_ = proxy.Process.Kill()
		_ = proxy.Wait()
		if a.t.Failed() {
			a.t.Logf("HAProxy: %s", said.String())
		}
	})
	return "https://" + address
}

// TestBalance sends 50 requests to two servers behind HAProxy and kills one of them in the middle. Each request must be
// answered with its picture or with an error that says that it can be tried again, and none may be made twice.
func TestBalance(t *testing.T) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		program, err = exec.LookPath("/usr/sbin/haproxy") // it is in no user's path
	}
	if err != nil {
		if os.Getenv(mustBalance) != "" {
			t.Fatal("haproxy is missing (Debian: apt install haproxy)")
		}
		t.Skip("needs haproxy")
	}
	model := filepath.Join(t.TempDir(), "tiny")
	if err := synthetic.WriteTiny(model, synthetic.TinyDistilled()); err != nil {
		t.Fatal(err)
	}
	a := newAuthority(t, t.TempDir())
	one, two := a.startMachine(model, "one.lan"), a.startMachine(model, "two.lan")
	address := a.startHAProxy(program, one, two)
	newClient := func() *Engine {
		at, err := ParseAddress(address, false)
		if err != nil {
			t.Fatal(err)
		}
		var e *Engine
		eventually(t, "HAProxy answers", func() bool {
			e, err = open(t.Context(), Options{Address: at, Token: token, CA: a.path("ca.pem")}, quick())
			return err == nil
		})
		t.Cleanup(func() { _ = e.Close() })
		return e
	}

	const requests, clients, killAfter = 50, 5, 15
	seeds := make(chan uint64, requests)
	for seed := range requests {
		seeds <- uint64(seed)
	}
	close(seeds)
	var mu sync.Mutex
	pictures, again := map[uint64]bool{}, map[uint64]bool{}
	var group sync.WaitGroup
	for range clients {
		e := newClient()
		group.Go(func() {
			for seed := range seeds {
				ask := small("a red fox")
				ask.Seed, ask.Steps = &seed, new(4)
				result, err := e.Generate(t.Context(), resolve(t, ask, e), nil)
				mu.Lock()
				switch {
				case err == nil && result.Metadata.Seed == seed && !pictures[seed]:
					pictures[seed] = true
				case inference.Retryable(err) && strings.Contains(err.Error(), "try again"):
					again[seed] = true
				default:
					t.Errorf("request %d: %v", seed, err)
				}
				answered := len(pictures) + len(again)
				mu.Unlock()
				if answered == killAfter {
					if n := total(one.lines(t), "begun"); n < 3 {
						t.Errorf("the first server has begun %d runs before it was killed", n)
					}
					if err := one.Process.Signal(syscall.SIGKILL); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	group.Wait()
	t.Logf("%d pictures, %d to try again", len(pictures), len(again))
	// The killed server had one request under way, and others in its queue.
	if len(pictures)+len(again) != requests || len(again) > clients {
		t.Errorf("%d pictures and %d to try again, want %d together, and at most %d to try again",
			len(pictures), len(again), requests, clients)
	}
	first, second := one.lines(t), two.lines(t)
	for seed := range uint64(requests) {
		begun, made := fmt.Sprint("begun ", seed), fmt.Sprint("made ", seed)
		if first[begun]+second[begun] > 1 || first[made]+second[made] > 1 {
			t.Errorf("request %d was begun %d times, made %d times", seed, first[begun]+second[begun], first[made]+second[made])
		}
		if pictures[seed] && first[made]+second[made] != 1 {
			t.Errorf("request %d has a picture that nobody made", seed)
		}
	}
	// What has to be tried again succeeds on the server that is left.
	e := newClient()
	for seed := range again {
		ask := small("a red fox")
		ask.Seed = &seed
		if _, err := e.Generate(t.Context(), resolve(t, ask, e), nil); err != nil {
			t.Errorf("request %d again: %v", seed, err)
		}
	}
	// A client that leaves ends its run behind HAProxy as well.
	ctx, cancel := context.WithCancel(t.Context())
	ask := small("a red fox")
	ask.Seed, ask.Steps = new(uint64(4711)), new(500)
	_, err = e.Generate(ctx, resolve(t, ask, e), func(p inference.Progress) {
		if p.Step > 1 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	eventually(t, "the run has ended", func() bool { return two.lines(t)["failed 4711"] == 1 })
	// Without a server every request is answered soon.
	if err := two.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_, err = e.Generate(t.Context(), resolve(t, small("a red fox"), e), nil)
	if !inference.Retryable(err) {
		t.Errorf("without a server: %v", err)
	}
}
