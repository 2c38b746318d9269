//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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
	// Libraries that a program opens while it runs, which lie among the texts of its C code.
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ texts, want string }{
		{"libXi.so.6\x00libGL.so.1\x00", "Depends: libc6 (>= 2."},
		{"libXi.so.6\x00libGL.so.1\x00", ", libgl1, libxi6\n"},
		{"libEGL.so.1\x00", ")\nRecommends"},
		{"open libX9.so.1\x00", ")\nRecommends"}, // a part of a text
		{"libX9.so.1\x00", "uses libX9.so.1"},
	} {
		program := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(program, append(slices.Clone(shell), "\x00"+row.texts...), 0o700); err != nil {
			t.Fatal(err)
		}
		have, err := dependencies(program, static)
		if !strings.Contains(have+fmt.Sprint(err), row.want) {
			t.Errorf("%q: %q, %v, want %q", row.texts, have, err, row.want)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, row := range [][2]string{{"", "2.1"}, {"2.9", "2.34"}, {"2.2", "2.2.5"}, {"2.34", "3"}} {
		if compareVersions(row[0], row[1]) >= 0 || compareVersions(row[1], row[0]) <= 0 {
			t.Errorf("%s is not lower than %s", row[0], row[1])
		}
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
	// The newest heading of the list of changes is about the version that VERSION names.
	changes, err := os.ReadFile("CHANGELOG.md")
	heading := regexp.MustCompile(`(?m)^## .*$`).FindString(string(changes))
	if err != nil || !slices.Contains(strings.Fields(heading), m.Version) {
		t.Errorf("CHANGELOG.md begins with %q (%v), want a heading with %s", heading, err, m.Version)
	}
	const app = "[Details]\nName = \"x\"\nID = \"x\"\nIcon = \"x\"\n"
	for _, row := range []struct{ app, version, tag, want string }{
		{app, "1.2.3\n", "", ""},
		{app, "1.2.3\n", "v1.2.3", ""},
		{app, "1.2.3\n", "v1.2.4", "VERSION: 1.2.3, want that of the commit's tag v1.2.4"},
		{app, "1.2\n", "", "three numbers"},
		{app, "1.2.3-dev\n", "", "three numbers"},
		{app, "", "", "three numbers"},
		{app + "Version = \"1.2.3\"\n", "1.2.3\n", "", "no Version beside"},
		{"", "1.2.3\n", "", "want a Name"},
		{"[Details\n", "1.2.3\n", "", "toml"},
	} {
		t.Chdir(t.TempDir())
		for name, text := range map[string]string{"FyneApp.toml": row.app, "VERSION": row.version} {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if row.tag != "" {
			const commit = "git init -q && git -c user.name=x -c user.email=x commit -q --allow-empty -m x && git tag "
			if err := command(".", "sh", "-c", commit+row.tag); err != nil {
				t.Fatal(err)
			}
		}
		m, err := readMetadata()
		if text := fmt.Sprint(err); err == nil && (row.want != "" || m.Version != "1.2.3") ||
			err != nil && (row.want == "" || !strings.Contains(text, row.want)) {
			t.Errorf("%q, VERSION %q, tag %q: %+v, %v; want %q", row.app, row.version, row.tag, m, err, row.want)
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
