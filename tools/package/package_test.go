//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tc-hib/winres"
)

// TestDependencies reads the dependencies of a program that every Linux has, of a static program, and of a text.
func TestDependencies(t *testing.T) {
	if have, err := dependencies("/bin/sh"); err != nil || !strings.HasPrefix(have, "Depends: libc6 (>= 2.") {
		t.Errorf("/bin/sh: %q %v", have, err)
	}
	static := filepath.Join(t.TempDir(), "static")
	build := exec.Command("go", "build", "-o", static, "cmd/buildid")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if have, err := dependencies(static); err != nil || strings.Contains(have, "Depends") {
		t.Errorf("a static program: %q %v", have, err)
	}
	if _, err := dependencies("package_test.go"); err == nil {
		t.Error("a text: no error, want one")
	}
}

// TestTarXZ checks that packing twice gives the same bytes, and what the archive holds: the folders first.
func TestTarXZ(t *testing.T) {
	if _, err := exec.LookPath("xz"); err != nil {
		t.Skip("xz is not installed")
	}
	t.Chdir("../..")
	tree := []entry{{"bin/a", 0o755, []byte("program")}, {"share/b/c", 0o644, []byte("text")}}
	dir := t.TempDir()
	var files [2][]byte
	for i := range files {
		name := filepath.Join(dir, "x.tar.xz")
		if err := writeTarXZ(name, tree, "root", time.Unix(1e9, 0)); err != nil {
			t.Fatal(err)
		}
		var err error
		if files[i], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two archives differ")
	}
	unpack := exec.Command("xz", "--decompress", "--stdout")
	unpack.Stdin = bytes.NewReader(files[0])
	plain, err := unpack.Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		names = append(names, h.Name)
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 1e9 || h.Name == "root/bin/a" && h.Mode != 0o755 {
			t.Errorf("%+v", h)
		}
	}
	firstFile := slices.IndexFunc(names, func(name string) bool { return !strings.HasSuffix(name, "/") })
	for _, folder := range []string{"root/", "root/bin/", "root/share/", "root/share/b/", "root/docs/"} {
		if !slices.Contains(names[:firstFile], folder) {
			t.Errorf("no folder %s before the first file of %q", folder, names)
		}
	}
	want := []string{"root/bin/a", "root/share/b/c", "root/LICENSE", "root/README.md"}
	if got := names[firstFile:][:len(want)]; !slices.Equal(got, want) {
		t.Errorf("the first files are %q, want %q", got, want)
	}
}

func TestMetadata(t *testing.T) {
	t.Chdir("../..")
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	m, err := readMetadata()
	if err != nil || m.Name != "Kleinbild" || m.Time.Unix() != 1e9 || len(m.Linux.Categories) == 0 {
		t.Errorf("%+v %v", m, err)
	}
	if _, err := readIcon(m); err != nil {
		t.Error(err)
	}
	const shortVersion = "[Details]\nName = \"x\"\nID = \"x\"\nIcon = \"x\"\nVersion = \"1.2\"\n"
	for _, text := range []string{"", shortVersion, "[Details\n"} {
		t.Chdir(t.TempDir())
		if err := os.WriteFile("FyneApp.toml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := readMetadata(); err == nil {
			t.Errorf("%q: %+v, want an error", text, m)
		}
	}
}

// TestLicenceFiles finds the licences of a module and of the C libraries in its folder lib.
func TestLicenceFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"LICENSE", "main.go", "lib/LICENSE.libheif", "lib/heif.wasm", "docs/LICENSE"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{filepath.Join(dir, "LICENSE"), filepath.Join(dir, "lib", "LICENSE.libheif")}
	if have, err := licenceFiles(dir); err != nil || !slices.Equal(have, want) {
		t.Errorf("%v, %v, want %v", have, err, want)
	}
	if have, err := licenceFiles(filepath.Join(dir, "docs")); err != nil || len(have) != 1 {
		t.Errorf("%v, %v, want one", have, err)
	}
}

// TestManifest checks the manifest of the programs for Windows, and that checkManifest notices when a part of it is
// missing.
func TestManifest(t *testing.T) {
	t.Chdir("../..")
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	m, err := readMetadata()
	if err != nil {
		t.Fatal(err)
	}
	set, err := resources(m, "kleinbild.exe")
	if err != nil {
		t.Fatal(err)
	}
	manifest := set.Get(winres.RT_MANIFEST, winres.ID(1), winres.LCIDDefault)
	if err := checkManifest(manifest); err != nil {
		t.Error(err)
	}
	if set.Get(winres.RT_VERSION, winres.ID(1), winres.LCIDDefault) == nil {
		t.Error("no version information, want one")
	}
	for _, damage := range [][2]string{
		{"longPathAware", "longPathAwake"}, {"permonitorv2", "system"}, {"asInvoker", "requireAdministrator"},
		{"6.0.0.0", "5.0.0.0"}, {"<", ""},
	} {
		damaged := bytes.ReplaceAll(manifest, []byte(damage[0]), []byte(damage[1]))
		if bytes.Equal(damaged, manifest) || checkManifest(damaged) == nil {
			t.Errorf("%s instead of %s: no error, want one: %s", damage[1], damage[0], manifest)
		}
	}
}
