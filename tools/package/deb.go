//go:build linux

package main

import (
	"bytes"
	"crypto/md5" // dpkg's digest
	"debug/elf"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// copyright is the file usr/share/doc/kleinbild/copyright, which Debian requires. %s is the program's name.
const copyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: %s

Files: *
Copyright: 2026 The Kleinbild authors
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
`

// changelog is the file usr/share/doc/kleinbild/changelog.gz, which Debian requires. The two %s are version and date.
const changelog = `kleinbild (%s) unstable; urgency=medium

  * Release.

 -- The Kleinbild authors <kleinbild@localhost>  %s
`

// writeDeb writes a Debian package that installs the tree below /usr. It depends on the libraries that program is
// linked with.
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
		// Debian's zsh reads the completions of packages from another folder.
		e.path = strings.Replace(e.path, "share/zsh/site-functions", "share/zsh/vendor-completions", 1)
		files = append(files, e)
	}
	release := fmt.Appendf(nil, changelog, m.Version, m.Time.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
	files = append(files,
		entry{"usr/share/doc/kleinbild/copyright", 0o644, fmt.Appendf(nil, copyright, m.Name)},
		entry{"usr/share/doc/kleinbild/changelog.gz", 0o644, gzipped(release)})
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
	// The modes must not depend on the umask, nor the times on the clock.
	modes := map[string]fs.FileMode{}
	for _, f := range files {
		modes[filepath.Join(stage, filepath.FromSlash(f.path))] = f.mode
	}
	err = filepath.WalkDir(stage, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode, ok := modes[path]
		if !ok {
			mode = 0o755 // a folder
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return os.Chtimes(path, m.Time, m.Time)
	})
	if err != nil {
		return err
	}
	// With more than one thread, the bytes would depend on their number.
	command := newCommand("dpkg-deb", "--root-owner-group", "-Zxz", "-z9", "--threads-max=1",
		"--build", stage, output)
	command.Env = append(os.Environ(), "SOURCE_DATE_EPOCH="+strconv.FormatInt(m.Time.Unix(), 10))
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("dpkg-deb: %w: %s", err, out)
	}
	return nil
}

// debianPackages maps each library that the program is linked with to the Debian package that contains it.
var debianPackages = map[string]string{
	"libc.so.6": "libc6", "libm.so.6": "libc6", "libdl.so.2": "libc6", "libpthread.so.0": "libc6",
	"librt.so.1": "libc6", "ld-linux-x86-64.so.2": "libc6", "libresolv.so.2": "libc6",
	"libGL.so.1": "libgl1", "libX11.so.6": "libx11-6", "libEGL.so.1": "libegl1", "libgcc_s.so.1": "libgcc-s1",
	"libXcursor.so.1": "libxcursor1", "libXrandr.so.2": "libxrandr2", "libXinerama.so.1": "libxinerama1",
	"libXi.so.6": "libxi6", "libXxf86vm.so.1": "libxxf86vm1",
}

// loadedLater are the packages of libraries that a program with a window opens while it runs.
var loadedLater = []string{"libxcursor1", "libxrandr2", "libxinerama1", "libxi6", "libxxf86vm1"}

// dependencies returns the lines of the control file about other packages. Depends names the packages of the libraries
// that the program is linked with; a static program has no such line.
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
			return "", fmt.Errorf("%s is linked with %s, want a library in debianPackages", program, library)
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

// newestGlibc returns the highest version among the glibc symbols that the program uses, or "" if it uses none.
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
