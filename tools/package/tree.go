//go:build linux

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// entry is a file in a package.
type entry struct {
	path string // below the package's root, with slashes
	mode fs.FileMode
	data []byte
}

// linuxTree returns the files that are installed below a prefix (/usr or ~/.local), sorted by path. It runs the first
// program to print its manual and its completion scripts.
func linuxTree(m metadata, programs []string, window bool) (tree []entry, err error) {
	add := func(path string, mode fs.FileMode, data []byte) { tree = append(tree, entry{path, mode, data}) }
	for _, program := range programs {
		binary, err := os.ReadFile(program)
		if err != nil {
			return nil, err
		}
		add("bin/"+filepath.Base(program), 0o755, binary)
	}
	forDesktop, err := desktopTree(m)
	if err != nil {
		return nil, err
	}
	tree = append(tree, forDesktop...)
	// Shells look for a file with the program's name, except zsh.
	for _, text := range []struct{ args, path string }{
		{"manual", "share/man/man1/kleinbild.1.gz"},
		{"completion bash", "share/bash-completion/completions/kleinbild"},
		{"completion bash", "share/bash-completion/completions/kleinbild-cli"},
		{"completion zsh", "share/zsh/site-functions/_kleinbild"},
		{"completion fish", "share/fish/vendor_completions.d/kleinbild.fish"},
		{"completion fish", "share/fish/vendor_completions.d/kleinbild-cli.fish"},
	} {
		data, err := newCommand(programs[0], strings.Fields(text.args)...).Output()
		if err != nil {
			return nil, fmt.Errorf("kleinbild %s: %w", text.args, err)
		}
		if strings.HasSuffix(text.path, ".gz") {
			data = gzipped(data)
		}
		add(text.path, 0o644, data)
	}
	// man looks for a file with the program's name; this one leads on to the page of kleinbild.
	add("share/man/man1/kleinbild-cli.1.gz", 0o644, gzipped([]byte(".so man1/kleinbild.1\n")))
	licences, err := thirdParty("linux", window)
	if err != nil {
		return nil, err
	}
	add("share/doc/kleinbild/"+licences.path, licences.mode, licences.data)
	slices.SortFunc(tree, func(a, b entry) int { return strings.Compare(a.path, b.path) })
	return tree, nil
}

// gzipped returns data as a gzip file without a time and a name, so that the same data gives the same bytes.
func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // The level is valid, and writing to a buffer does not fail.
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

// link finds the target of a link or a picture of Markdown that is a file of the project.
var link = regexp.MustCompile(`\]\(([^)#:\s]+)[^):]*\)`)

// documents returns the files that are put into both archives, beside the programs: the licence, the README, and those
// pages and pictures that can be reached from it, at the same paths, so that its links work. Left out are the pages in
// the folders of the sources, which are for those who have the sources.
func documents() (tree []entry, err error) {
	names := []string{"LICENSE", "README.md"}
	for i := 0; i < len(names); i++ {
		data, err := os.ReadFile(names[i])
		if err != nil {
			return nil, err
		}
		tree = append(tree, entry{names[i], 0o644, data})
		if path.Ext(names[i]) != ".md" {
			continue
		}
		for _, found := range link.FindAllSubmatch(data, -1) {
			target := path.Join(path.Dir(names[i]), string(found[1]))
			if _, err := os.Stat(target); err != nil {
				return nil, fmt.Errorf("%s: %w", names[i], err)
			}
			page := path.Ext(target) == ".md" && (path.Dir(target) == "." || path.Dir(target) == "docs")
			if (page || path.Ext(target) == ".png") && !slices.Contains(names, target) {
				names = append(names, target)
			}
		}
	}
	return tree, nil
}

// folders lists root and the folders of tree below it, parents first.
func folders(root string, tree []entry) (list []string) {
	seen := map[string]bool{}
	for _, e := range tree {
		for dir := path.Dir(path.Join(root, e.path)); dir != "." && !seen[dir]; dir = path.Dir(dir) {
			seen[dir] = true
			list = append(list, dir)
		}
	}
	slices.Sort(list)
	return list
}

// writeTarXZ writes the tree and the documents into a .tar.xz, below the folder root. All files get the time at.
func writeTarXZ(output string, tree []entry, root string, at time.Time) error {
	more, err := documents()
	if err != nil {
		return err
	}
	tree = append(slices.Clone(tree), more...)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	header := func(name string, mode fs.FileMode, size int, kind byte) error {
		return w.WriteHeader(&tar.Header{
			Typeflag: kind, Name: name, Mode: int64(mode), Size: int64(size), ModTime: at,
			Uname: "root", Gname: "root", Format: tar.FormatUSTAR,
		})
	}
	for _, dir := range folders(root, tree) {
		if err := header(dir+"/", 0o755, 0, tar.TypeDir); err != nil {
			return err
		}
	}
	for _, e := range tree {
		if err := header(path.Join(root, e.path), e.mode, len(e.data), tar.TypeReg); err != nil {
			return err
		}
		if _, err := w.Write(e.data); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	// With more than one thread, the bytes would depend on their number.
	// Level 9 has a dictionary of 64 MiB, in which the second program finds the demo model of the first one again.
	command := newCommand("xz", "-9", "--threads=1", "--stdout")
	command.Stdin, command.Stderr = &archive, os.Stderr
	return writeOutput(output, command)
}

// writeOutput runs a command and writes its standard output to a file.
func writeOutput(output string, command *exec.Cmd) error {
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	command.Stdout = file
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", command.Path, err)
	}
	return file.Close()
}

// writeZip writes the programs for Windows and the documents into a .zip, below the folder root. All files get the time
// at.
func writeZip(output, root string, programs []string, window bool, at time.Time) error {
	tree, err := documents()
	if err != nil {
		return err
	}
	for _, program := range programs {
		binary, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		tree = append(tree, entry{filepath.Base(program), 0o755, binary})
	}
	licences, err := thirdParty("windows", window)
	if err != nil {
		return err
	}
	tree = append(tree, licences)
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	w := zip.NewWriter(file)
	for _, e := range tree {
		header := &zip.FileHeader{Name: path.Join(root, e.path), Method: zip.Deflate, Modified: at}
		header.SetMode(e.mode)
		part, err := w.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := io.Copy(part, bytes.NewReader(e.data)); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return file.Close()
}
