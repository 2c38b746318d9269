//go:build linux

package main

import (
	"bytes"
	"crypto/md5" // dpkg's digest
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// copyright is the file usr/share/doc/kleinbild/copyright, which Debian requires. %s is the program's name.
const copyright = `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: %s

Files: *
Copyright: 2026 The Kleinbild developers
License: Apache-2.0
 On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.
`

// changelog is the file usr/share/doc/kleinbild/changelog.gz, which Debian requires. The %s are
// version, maintainer and date.
const changelog = `kleinbild (%s) unstable; urgency=medium

  * Release.

 -- %s  %s
`

// maintainer is who the package comes from. Debian wants an address of mail, and the project has none: names that end
// in invalid are reserved for that.
const maintainer = "Kleinbild developers <kleinbild@kleinbild.invalid>"

// writeDeb writes a Debian package that installs the tree below /usr. It depends on the libraries of the programs.
func writeDeb(output string, m metadata, tree []entry, programs []string) error {
	depends, err := dependencies(programs...)
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
	release := fmt.Appendf(nil, changelog, m.Version, maintainer, m.Time.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
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
Maintainer: %s
Installed-Size: %d
%sSection: graphics
Priority: optional
Description: make and edit pictures with FLUX.2 [klein]
 A prompt and up to four reference pictures go in, a PNG comes out, on your own
 machine: a window, a command line and an HTTP server over one engine.
`, m.Version, maintainer, (size+1023)/1024, depends)
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

// debianPackages maps each library that the programs are linked with, or that their C code opens while they run, to the
// Debian package that contains it. It is "" for a library that they do without if it is missing.
var debianPackages = map[string]string{
	"libc.so.6": "libc6", "libm.so.6": "libc6", "libdl.so.2": "libc6", "libpthread.so.0": "libc6",
	"librt.so.1": "libc6", "ld-linux-x86-64.so.2": "libc6", "libresolv.so.2": "libc6",
	"libGL.so.1": "libgl1", "libX11.so.6": "libx11-6", "libgcc_s.so.1": "libgcc-s1",
	"libXcursor.so.1": "libxcursor1", "libXrandr.so.2": "libxrandr2", "libXinerama.so.1": "libxinerama1",
	"libXi.so.6": "libxi6", "libXxf86vm.so.1": "libxxf86vm1",
	// The driver of a graphics card comes from NVIDIA or the distribution.
	"libcuda.so.1": "",
	// GLFW, below Fyne, takes part in what these do if they are there, and Fyne asks for none of it.
	"libX11-xcb.so.1": "", "libXrender.so.1": "", "libvulkan.so.1": "", "libGLX.so.0": "", "libEGL.so.1": "",
	"libOpenGL.so.0": "", "libGLESv2.so.2": "", "libGLESv1_CM.so.1": "", "libGLES_CM.so.1": "", "libOSMesa.so.6": "",
	"libOSMesa.so.8": "",
}

// openedLibrary matches the name of a library among the texts of C code, with the byte that ends it.
var openedLibrary = regexp.MustCompile(`lib[\w+-]+\.so\.\d+\x00`)

// libraries returns the libraries that a program is linked with, and then those that its C code opens by name.
func libraries(program string, file *elf.File) (names []string, err error) {
	if names, err = file.ImportedLibraries(); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	for _, at := range openedLibrary.FindAllIndex(data, -1) {
		// In front of a C text is the end of another one. This leaves out what is only a part of a text.
		if at[0] > 0 && data[at[0]-1] == 0 {
			names = append(names, string(data[at[0]:at[1]-1]))
		}
	}
	return names, nil
}

// dependencies returns the lines of the control file about other packages: those that contain the libraries of the
// programs. Static programs have no line Depends.
func dependencies(programs ...string) (string, error) {
	var packages []string
	newest := ""
	for _, program := range programs {
		file, err := elf.Open(program)
		if err != nil {
			return "", err
		}
		defer file.Close()
		names, err := libraries(program, file)
		if err != nil {
			return "", err
		}
		for _, library := range names {
			name, ok := debianPackages[library]
			if !ok {
				return "", fmt.Errorf("%s uses %s, want a library in debianPackages", program, library)
			}
			if name != "" {
				packages = append(packages, name)
			}
		}
		glibc, err := newestGlibc(file)
		if err != nil {
			return "", err
		}
		newest = slices.MaxFunc([]string{newest, glibc}, compareVersions)
	}
	if len(packages) == 0 {
		return "Suggests: xdg-desktop-portal\n", nil
	}
	slices.Sort(packages)
	packages = slices.Compact(packages)
	for i, name := range packages {
		if name == "libc6" && newest != "" {
			packages[i] = fmt.Sprintf("libc6 (>= %s)", newest)
		}
	}
	return "Depends: " + strings.Join(packages, ", ") + "\nRecommends: xdg-desktop-portal\n", nil
}

// compareVersions compares numbers that are separated by dots. "" is the lowest.
func compareVersions(a, b string) int {
	numbers := func(text string) (list []int) {
		for part := range strings.SplitSeq(text, ".") {
			n, _ := strconv.Atoi(part)
			list = append(list, n)
		}
		return list
	}
	return slices.Compare(numbers(a), numbers(b))
}

// newestGlibc returns the highest version among the glibc symbols that the program uses, or "" if it uses none.
func newestGlibc(file *elf.File) (newest string, err error) {
	symbols, err := file.ImportedSymbols()
	if errors.Is(err, elf.ErrNoSymbols) { // a static program
		return "", nil
	} else if err != nil {
		return "", err
	}
	for _, s := range symbols {
		if text, ok := strings.CutPrefix(s.Version, "GLIBC_"); ok && compareVersions(text, newest) > 0 {
			newest = text
		}
	}
	return newest, nil
}
