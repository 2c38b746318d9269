package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const token = "token-of-the-soak"

// process is a running kleinbild serve with the demo model.
type process struct {
	cmd     *exec.Cmd
	address string
	logFile string
	ended   chan struct{}
}

// startServer starts the program with a home folder of its own in folder. Its log is folder/name.log.
func startServer(program, folder, name string) (*process, error) {
	path, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	home := filepath.Join(folder, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	p := &process{logFile: filepath.Join(folder, name+".log"), ended: make(chan struct{})}
	log, err := os.Create(p.logFile)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.Command(path, "serve", "-m", "demo", "--listen", "127.0.0.1:0", "--allow-remote-uris")
	p.cmd.Dir = home
	p.cmd.Env = []string{"HOME=" + home, "KLEINBILD_TOKEN=" + token, "PATH=" + os.Getenv("PATH")}
	p.cmd.Stderr = log
	// The server ends if this program ends.
	p.cmd.SysProcAttr = dieWithParent()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = p.cmd.Process.Kill()
		return nil, fmt.Errorf("the server printed no address, see %s: %w", p.logFile, err)
	}
	p.address = strings.TrimPrefix(strings.TrimSpace(line), "http://")
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) kill() {
	if p.running() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// onePicture requests a picture over a connection that is closed afterwards.
func (p *process) onePicture(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	body := strings.NewReader(`{"prompt": "a red circle", "size": "64x64", "steps": 1}`)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.address+"/v1/images/generations", body)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Close = true
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %.200s", response.StatusCode, text)
	}
	return err
}

// sample holds numbers that the system reports about the process.
type sample struct{ residentMiB, threads, files int }

func (p *process) sample() (s sample) {
	dir := fmt.Sprintf("/proc/%d/", p.cmd.Process.Pid)
	status, _ := os.ReadFile(dir + "status") // if the process has ended, all numbers are zero
	for line := range strings.SplitSeq(string(status), "\n") {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
		switch name {
		case "VmRSS":
			s.residentMiB = n >> 10
		case "Threads":
			s.threads = n
		}
	}
	files, _ := os.ReadDir(dir + "fd")
	s.files = len(files)
	return s
}

// watch takes samples until ctx ends.
func (p *process) watch(ctx context.Context, every time.Duration) (all []sample) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return all
		case <-tick.C:
			all = append(all, p.sample())
		}
	}
}

// headOfGoroutine matches the first line of a goroutine in the stack traces that Go prints on SIGQUIT. created matches
// the line with the function that created the goroutine, which says what it is for.
var (
	headOfGoroutine = regexp.MustCompile(`(?m)^goroutine [0-9]+ .*\[.*\]:$`)
	created         = regexp.MustCompile(`(?m)^created by ([^ \n]+)`)
)

// goroutines ends the process with SIGQUIT and returns the number of its goroutines by the function that created them.
func (p *process) goroutines() (map[string]int, error) {
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		return nil, err
	}
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		return nil, fmt.Errorf("the server did not end within 20 s after SIGQUIT")
	}
	text, err := os.ReadFile(p.logFile)
	if err != nil {
		return nil, err
	}
	all := headOfGoroutine.FindAllIndex(text, -1)
	if len(all) == 0 {
		return nil, fmt.Errorf("found no goroutines in %s", p.logFile)
	}
	kinds := map[string]int{}
	for i, at := range all {
		end := len(text)
		if i+1 < len(all) {
			end = all[i+1][0]
		}
		kind := "main"
		if by := created.FindSubmatch(text[at[1]:end]); by != nil {
			kind = string(by[1])
		}
		kinds[kind]++
	}
	return kinds, nil
}

func sorted(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }
