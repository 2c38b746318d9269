//go:build linux

// Package builds the program and packs it: a .tar.xz and a .deb for Linux, a .zip for Windows, and SHA256SUMS. The same
// sources give the same bytes, because all files get the time of the last commit, or $SOURCE_DATE_EPOCH if it is set.
// It works in a folder below the one for packages, which it removes, also after a signal; what a killed run has left
// there is removed by the next run.
//
// Run it in the project's root, on Linux. It needs xz and dpkg-deb, and with -window what the window is built with: a C
// compiler and X11's headers for Linux, the compiler x86_64-w64-mingw32-gcc for Windows.
package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("package: ")
	out := flag.String("out", "dist", "the folder that the packages are written to")
	window := flag.Bool("window", false, "build the programs with the window, which needs cgo")
	system := flag.String("system", "", "windows writes the package for Windows only, without SHA256SUMS; default: all")
	checking := flag.Bool("check", false, "check the packages in the folder instead of writing them; needs root")
	flag.Parse()
	do := pack
	switch {
	case *checking:
		do = check
	case *system == "windows":
		do = packWindows
	case *system != "":
		log.Fatalf("-system %s, want windows or no such flag", *system)
	}
	var stop context.CancelFunc
	untilSignal, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := do(*out, *window)
	stop()
	if err != nil {
		log.Fatal(err)
	}
}

// packWindows builds and writes the package for Windows only.
func packWindows(out string, window bool) error {
	return inWork(out, func(m metadata, work string) error {
		name, err := writeWindows(m, work, window)
		if err != nil {
			return err
		}
		return os.Rename(filepath.Join(work, name), filepath.Join(out, name))
	})
}

// writeWindows builds the programs for Windows in work and writes their archive there.
func writeWindows(m metadata, work string, window bool) (name string, err error) {
	programs := []string{filepath.Join(work, "kleinbild.exe")}
	if window {
		// A console does not wait for a program with a window and does not receive its exit code, so scripts need a
		// second program.
		programs = append(programs, filepath.Join(work, "kleinbild-cli.exe"))
	}
	for i, program := range programs {
		if err := build(program, "windows", window && i == 0); err != nil {
			return "", err
		}
		if err := addResources(m, program); err != nil {
			return "", err
		}
	}
	base := "kleinbild-" + m.Version
	name = base + "-windows-amd64.zip"
	return name, writeZip(filepath.Join(work, name), base, programs, window, m.Time)
}

// pack builds and writes all packages.
func pack(out string, window bool) error {
	return inWork(out, func(m metadata, work string) error { return packAll(m, out, work, window) })
}

// packAll builds the programs and writes all packages in work, and then moves the packages to out.
func packAll(m metadata, out, work string, window bool) error {
	linux := filepath.Join(work, "kleinbild")
	if err := build(linux, "linux", window); err != nil {
		return err
	}
	programs := []string{linux}
	if window {
		// If libraries are missing, the system's loader does not start the program with the window at all, not even for
		// a command. The command line by itself runs everywhere, and its doctor says what to install.
		cli := filepath.Join(work, "kleinbild-cli")
		if err := build(cli, "linux", false); err != nil {
			return err
		}
		programs = append(programs, cli)
	}
	zipName, err := writeWindows(m, work, window)
	if err != nil {
		return err
	}

	tree, err := linuxTree(m, programs, window)
	if err != nil {
		return err
	}
	base := fmt.Sprintf("kleinbild-%s", m.Version)
	files := []string{base + "-linux-amd64.tar.xz", fmt.Sprintf("kleinbild_%s_amd64.deb", m.Version), zipName}
	if err := writeTarXZ(filepath.Join(work, files[0]), tree, base, m.Time); err != nil {
		return err
	}
	if err := writeDeb(filepath.Join(work, files[1]), m, tree, programs); err != nil {
		return err
	}
	for _, name := range files {
		if err := os.Rename(filepath.Join(work, name), filepath.Join(out, name)); err != nil {
			return err
		}
	}
	return writeSums(out, files)
}

// writeSums writes SHA256SUMS in the format that sha256sum -c reads.
func writeSums(out string, files []string) error {
	slices.Sort(files)
	var lines strings.Builder
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%x  %s\n", sha256.Sum256(data), name)
		log.Printf("%s: %.1f MB", filepath.Join(out, name), float64(len(data))/1e6)
	}
	return os.WriteFile(filepath.Join(out, "SHA256SUMS"), []byte(lines.String()), 0o644)
}
