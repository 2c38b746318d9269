//go:build unix

package main

import (
	"bytes"
	"crypto/md5" // dpkg's
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// copyright is the file that Debian asks for.
const copyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: %s

Files: *
Copyright: 2026 The Kleinbild authors
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
`

// writeDeb writes the tree below /usr as a Debian package.
func writeDeb(output string, m metadata, tree []entry, program string) error {
	depends, err := dependencies(program)
	if err != nil {
		return err
	}
	stage, err := os.MkdirTemp("", "kleinbild-deb-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(stage)
	var files []entry
	for _, e := range tree {
		e.path = "usr/" + e.path
		// Debian's zsh looks here, not in site-functions.
		e.path = strings.Replace(e.path, "share/zsh/site-functions", "share/zsh/vendor-completions", 1)
		files = append(files, e)
	}
	changelog := fmt.Sprintf("kleinbild (%s) unstable; urgency=medium\n\n  * Release.\n\n -- The Kleinbild authors <kleinbild@localhost>  %s\n", m.Version, m.Time.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	files = append(files,
		entry{"usr/share/doc/kleinbild/copyright", 0o644, fmt.Appendf(nil, copyright, m.Name)},
		entry{"usr/share/doc/kleinbild/changelog.gz", 0o644, gzipped([]byte(changelog))})
	slices.SortFunc(files, func(a, b entry) int { return strings.Compare(a.path, b.path) })

	var sums bytes.Buffer
	size := 0
	for _, f := range files {
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(f.data), f.path)
		size += len(f.data)
	}
	control := fmt.Sprintf(`Package: kleinbild
Version: %s
Architecture: amd64
Maintainer: The Kleinbild authors <kleinbild@localhost>
Installed-Size: %d
%sSection: graphics
Priority: optional
Description: make and edit pictures with FLUX.2 [klein]
 A prompt and up to four reference pictures go in, a PNG comes out, on your own
 machine: a window, a command line and an HTTP server over one engine.
`, m.Version, (size+1023)/1024, depends)
	files = append(files, entry{"DEBIAN/control", 0o644, []byte(control)}, entry{"DEBIAN/md5sums", 0o644, sums.Bytes()})
	for _, f := range files {
		path := filepath.Join(stage, filepath.FromSlash(f.path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, f.data, f.mode); err != nil {
			return err
		}
	}
	// Modes without the umask, and one time for all.
	err = filepath.WalkDir(stage, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o755)
		if i := slices.IndexFunc(files, func(f entry) bool { return filepath.Join(stage, filepath.FromSlash(f.path)) == path }); i >= 0 {
			mode = files[i].mode
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return os.Chtimes(path, m.Time, m.Time)
	})
	if err != nil {
		return err
	}
	// One thread: with more, the file would depend on their number.
	command := exec.Command("dpkg-deb", "--root-owner-group", "-Zxz", "-z6", "--threads-max=1", "--build", stage, output)
	command.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(m.Time.Unix(), 10))
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, out)
	}
	return nil
}

// debianPackages hold the libraries that the program asks the system for.
var debianPackages = map[string]string{
	"libc.so.6": "libc6", "libm.so.6": "libc6", "libdl.so.2": "libc6", "libpthread.so.0": "libc6", "librt.so.1": "libc6",
	"ld-linux-x86-64.so.2": "libc6", "libresolv.so.2": "libc6",
	"libGL.so.1": "libgl1", "libX11.so.6": "libx11-6", "libEGL.so.1": "libegl1", "libgcc_s.so.1": "libgcc-s1",
	"libXcursor.so.1": "libxcursor1", "libXrandr.so.2": "libxrandr2", "libXinerama.so.1": "libxinerama1",
	"libXi.so.6": "libxi6", "libXxf86vm.so.1": "libxxf86vm1",
}

// loadedLater are packages that a program with a window opens libraries of while it runs.
var loadedLater = []string{"libxcursor1", "libxrandr2", "libxinerama1", "libxi6", "libxxf86vm1"}

// dependencies returns the control file's lines about other packages, from what the program is linked with: nothing for
// a static one.
func dependencies(program string) (string, error) {
	file, err := elf.Open(program)
	if err != nil {
		return "", err
	}
	defer file.Close()
	libraries, err := file.ImportedLibraries()
	if err != nil {
		return "", err
	}
	if len(libraries) == 0 {
		return "Suggests: xdg-desktop-portal\n", nil
	}
	var packages []string
	for _, library := range libraries {
		name, ok := debianPackages[library]
		if !ok {
			return "", fmt.Errorf("%s needs %s, which no package is known for", program, library)
		}
		packages = append(packages, name)
	}
	if slices.Contains(packages, "libx11-6") {
		packages = append(packages, loadedLater...)
	}
	slices.Sort(packages)
	packages = slices.Compact(packages)
	newest, err := newestGlibc(file)
	if err != nil {
		return "", err
	}
	for i, name := range packages {
		if name == "libc6" && newest != "" {
			packages[i] = fmt.Sprintf("libc6 (>= %s)", newest)
		}
	}
	return "Depends: " + strings.Join(packages, ", ") + "\nRecommends: xdg-desktop-portal\n", nil
}

// newestGlibc is the highest version of glibc's symbols that the program uses.
func newestGlibc(file *elf.File) (newest string, err error) {
	symbols, err := file.ImportedSymbols()
	if err != nil {
		return "", err
	}
	best := -1
	for _, s := range symbols {
		text, ok := strings.CutPrefix(s.Version, "GLIBC_")
		major, minor, _ := strings.Cut(text, ".")
		if !ok || major != "2" {
			continue
		}
		minor, _, _ = strings.Cut(minor, ".")
		if n, err := strconv.Atoi(minor); err == nil && n > best {
			best, newest = n, text
		}
	}
	return newest, nil
}
