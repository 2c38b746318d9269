package main

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	modpath "golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// sourceFile is a file of the project, as the writer of module archives wants it.
type sourceFile string

func (f sourceFile) Path() string                 { return string(f) }
func (f sourceFile) Lstat() (fs.FileInfo, error)  { return os.Lstat(filepath.FromSlash(string(f))) }
func (f sourceFile) Open() (io.ReadCloser, error) { return os.Open(filepath.FromSlash(string(f))) }

// TestModuleCanBeFetched serves the work tree as a version of the module, from a folder that is laid out like a Go
// proxy, and installs the command line from there with the go command, without any tag and without the network. No file
// is left out of the module's archive.
func TestModuleCanBeFetched(t *testing.T) {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Skip("git does not list the project's files: ", err)
	}
	var files []modzip.File
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if _, err := os.Lstat(filepath.FromSlash(name)); err == nil { // a file that was deleted is still listed
			files = append(files, sourceFile(name))
		}
	}
	checked, err := modzip.CheckFiles(files)
	if err != nil || len(checked.Omitted) > 0 {
		t.Fatalf("the module's archive: %v, left out: %v; want all files in it", err, checked.Omitted)
	}

	goMod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	this := modpath.Version{Path: modfile.ModulePath(goMod), Version: "v" + strings.TrimSpace(version)}
	proxy := t.TempDir()
	folder := filepath.Join(proxy, filepath.FromSlash(this.Path), "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	archive, err := os.Create(filepath.Join(folder, this.Version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := modzip.Create(archive, this, files); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"list": this.Version + "\n", this.Version + ".info": `{"Version":"` + this.Version + `"}`,
		this.Version + ".mod": string(goMod),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	goEnv := func(name string) string {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	fileURL := func(path string) string {
		return "file:///" + strings.TrimPrefix(filepath.ToSlash(path), "/")
	}
	bin := t.TempDir()
	install := exec.Command(filepath.Join(goEnv("GOROOT"), "bin", "go"), "install", this.String())
	install.Dir = t.TempDir()
	// Modules are unpacked in an empty cache, so that neither an earlier test nor the user's own cache takes part. What
	// the program imports comes from the archives that were downloaded for building this test. -trimpath keeps the
	// folder out of what is compiled, so that it is compiled once.
	install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+bin, "GOMODCACHE="+t.TempDir(), "GOTOOLCHAIN=local",
		"GOFLAGS=-mod=mod -modcacherw -trimpath", "GOWORK=off", "GONOPROXY=none", "GOPRIVATE=", "GOSUMDB=off",
		"GOPROXY="+fileURL(proxy)+","+fileURL(filepath.Join(goEnv("GOMODCACHE"), "cache", "download"))+",off")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("go install %v: %v: %s", this, err, out)
	}

	home := t.TempDir()
	name := filepath.Join(bin, "kleinbild")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	run := func(args ...string) string {
		program := exec.Command(name, args...)
		program.Dir = home
		program.Env = append(os.Environ(), "HOME="+home, "XDG_DATA_HOME=", "XDG_CONFIG_HOME=", "XDG_CACHE_HOME=",
			"KLEINBILD_MODEL=demo")
		out, err := program.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return string(out)
	}
	if out, want := run("version"), "kleinbild "+strings.TrimSpace(version)+"\n"; out != want {
		t.Errorf("it says %q, want %q", out, want)
	}
	run("generate", "-p", "a red house", "-a", "square", "-s", "1", "-o", "house.png")
	if info, err := os.Stat(filepath.Join(home, "house.png")); err != nil || info.Size() < 1000 {
		t.Errorf("the picture: %v %v", info, err)
	}
}
