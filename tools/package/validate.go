//go:build linux

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// validateDeb runs lintian on a Debian package, and compares the libraries that it depends on with those that Debian's
// own tool finds in the programs below the prefix root. A tool that is not installed is left out.
func validateDeb(deb, depends, root, work string) error {
	if installed("lintian") {
		err := command(work, "lintian", "--no-cfg", "--profile", "debian", "--allow-root", "--fail-on", "error,warning", deb)
		if err != nil {
			return err
		}
	}
	if !installed("dpkg-shlibdeps") {
		return nil
	}
	// The tool reads the name of the package from the description of its source.
	const source = "Source: kleinbild\n\nPackage: kleinbild\nArchitecture: amd64\n"
	if err := os.MkdirAll(filepath.Join(work, "debian"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(work, "debian/control"), []byte(source), 0o644); err != nil {
		return err
	}
	programs, err := filepath.Glob(filepath.Join(root, "bin/*"))
	if err != nil {
		return err
	}
	find := newCommand("dpkg-shlibdeps", append([]string{"-O"}, programs...)...)
	find.Dir = work
	out, err := find.Output()
	if err != nil {
		return fmt.Errorf("dpkg-shlibdeps: %w", err)
	}
	found, ok := strings.CutPrefix(strings.TrimSpace(string(out)), "shlibs:Depends=")
	if !ok {
		return fmt.Errorf("dpkg-shlibdeps: printed %q, want shlibs:Depends", out)
	}
	have := strings.Split(strings.TrimSpace(depends), ", ")
	for _, want := range strings.Split(found, ", ") {
		// Versions older than every Debian that has this glibc are left out.
		name, _, _ := strings.Cut(want, " ")
		if !slices.Contains(have, want) && !slices.Contains(have, name) {
			return fmt.Errorf("the package depends on %q, want %s too", have, want)
		}
	}
	return nil
}

// checkHardened returns an error if a program cannot lie anywhere in memory (PIE), or if parts of it that the loader
// fills in can be written to while it runs.
func checkHardened(program string) error {
	file, err := elf.Open(program)
	if err != nil {
		return err
	}
	defer file.Close()
	flags, err := file.DynValue(elf.DT_FLAGS_1)
	if err != nil {
		return fmt.Errorf("%s: %w", program, err)
	}
	const want = elf.DF_1_PIE | elf.DF_1_NOW
	relro := slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_GNU_RELRO })
	if file.Type != elf.ET_DYN || len(flags) != 1 || elf.DynFlag1(flags[0])&want != want || !relro {
		return fmt.Errorf("%s: type %v, flags %x, RELRO: %t; want a PIE with %v and RELRO",
			program, file.Type, flags, relro, want)
	}
	return nil
}

// installed says whether a tool is installed, and prints that it is not.
func installed(tool string) bool {
	_, err := exec.LookPath(tool)
	if err != nil {
		fmt.Println("not checked, because it is not installed:", tool)
	}
	return err == nil
}

// validate runs desktops' own tools, those that are installed, on the files for desktops below the prefix root.
func validate(m metadata, root string) (err error) {
	entry := filepath.Join(root, "share/applications", m.ID+".desktop")
	info := filepath.Join(root, "share/metainfo", m.ID+".metainfo.xml")
	for _, tool := range [][]string{
		{"desktop-file-validate", entry},
		{"appstreamcli", "validate", "--no-net", "--pedantic", info},
	} {
		if installed(tool[0]) {
			err = errors.Join(err, command(root, tool[0], tool[1:]...))
		}
	}
	return err
}
