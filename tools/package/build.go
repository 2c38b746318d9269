//go:build linux

package main

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/tc-hib/winres"
	"github.com/tc-hib/winres/version"
)

// metadata holds the contents of FyneApp.toml, the version, and the time that all packed files get.
type metadata struct {
	Name, ID, Icon string
	Build          int
	Version        string // three numbers, from the file VERSION
	Linux          desktopEntry
	Time           time.Time
}

// desktopEntry holds the texts for the menus of Linux desktops.
type desktopEntry struct {
	GenericName, Comment string
	Categories, Keywords []string
}

func readMetadata() (metadata, error) {
	var file struct {
		Details     metadata
		LinuxAndBSD desktopEntry
	}
	if _, err := toml.DecodeFile("FyneApp.toml", &file); err != nil {
		return metadata{}, err
	}
	m := file.Details
	m.Linux = file.LinuxAndBSD
	if m.Name == "" || m.ID == "" || m.Icon == "" || m.Version != "" {
		return m, fmt.Errorf("FyneApp.toml: %+v, want a Name, an ID, an Icon, and no Version beside the one in VERSION", m)
	}
	var err error
	if m.Version, err = readVersion(); err != nil {
		return m, err
	}
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" {
		text, err := newCommand("git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return m, fmt.Errorf("git log: %w; want the time of the last commit, or SOURCE_DATE_EPOCH set", err)
		}
		seconds = strings.TrimSpace(string(text))
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return m, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	m.Time = time.Unix(n, 0).UTC()
	return m, nil
}

// readVersion returns the version, which must be that of the commit's tag if it has one.
func readVersion() (string, error) {
	text, err := os.ReadFile("VERSION")
	if err != nil {
		return "", err
	}
	version := strings.TrimSuffix(string(text), "\n")
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
		return "", fmt.Errorf("VERSION: %q, want a line with three numbers", text)
	}
	tags, err := newCommand("git", "tag", "--points-at", "HEAD", "v*").Output()
	if names := strings.Fields(string(tags)); err == nil && len(names) > 0 && !slices.Contains(names, "v"+version) {
		return "", fmt.Errorf("VERSION: %s, want that of the commit's tag %s", version, names[0])
	}
	return version, nil
}

// compilerFlags are the flags of go build that change what is compiled. The Makefile has the same ones: with others,
// all C would be compiled once more.
var compilerFlags = []string{"-trimpath", "-buildmode=pie"}

// build compiles the program for a system, linux or windows.
func build(output, system string, window bool) error {
	flags := "-s -w -bindnow -buildid="
	if window && system == "windows" {
		flags += " -H windowsgui"
	}
	args := append([]string{"build"}, compilerFlags...)
	command := newCommand("go", append(args, "-buildvcs=false", "-ldflags", flags, "-o", output, ".")...)
	env, err := buildEnv(system, window)
	if err != nil {
		return err
	}
	command.Env = env
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("go build for %s: %w", system, err)
	}
	return nil
}

// buildEnv returns the environment in which the go command builds for a system. The window needs cgo; with it, kernels
// are launched through gorgonia.org/cu.
func buildEnv(system string, window bool) ([]string, error) {
	env := append(os.Environ(), "GOOS="+system, "GOARCH=amd64")
	if !window {
		return append(env, "CGO_ENABLED=0"), nil
	}
	if system == "windows" {
		env = append(env, "CC=x86_64-w64-mingw32-gcc")
	}
	// The Makefile uses the same scripts: with other flags all C would be compiled once more.
	folder, err := scriptOutput(env, "kernels/cu/gorgonia/libcuda/build.sh")
	if err != nil {
		return nil, err
	}
	cFlags, err := scriptOutput(env, "tools/window/cflags.sh")
	if err != nil {
		return nil, err
	}
	const linkerFlags = "-g -O2" // the go command's default
	return append(env, "CGO_ENABLED=1",
		"CGO_CFLAGS='-I"+folder+"' "+cmp.Or(os.Getenv("CGO_CFLAGS"), cFlags),
		"CGO_LDFLAGS='-L"+folder+"' "+cmp.Or(os.Getenv("CGO_LDFLAGS"), linkerFlags),
		"GOFLAGS="+os.Getenv("GOFLAGS")+" -tags=nodynamic,gorgonia"), nil
}

// scriptOutput runs a script in env and returns what it prints.
func scriptOutput(env []string, path string) (string, error) {
	script := newCommand(path)
	script.Env, script.Stderr = env, os.Stderr
	out, err := script.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// resources returns the resources of a program for Windows: its icon, its version, and a manifest. The manifest asks
// for drawing at the screen's own resolution and for paths of more than 260 characters.
func resources(m metadata, program string) (set winres.ResourceSet, err error) {
	var images []image.Image
	for _, size := range winres.DefaultIconSizes {
		img, err := drawIcon(m, size)
		if err != nil {
			return set, err
		}
		images = append(images, img)
	}
	icon, err := winres.NewIconFromImages(images)
	if err != nil {
		return set, err
	}
	if err := set.SetIcon(winres.ID(1), icon); err != nil {
		return set, err
	}
	var number [4]uint16
	for i, part := range strings.Split(m.Version, ".") {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil {
			return set, fmt.Errorf("VERSION: %s: %w", m.Version, err)
		}
		number[i] = uint16(n)
	}
	number[3] = uint16(m.Build)
	info := version.Info{FileVersion: number, ProductVersion: number, Type: version.App, Timestamp: m.Time}
	for key, value := range map[string]string{
		version.ProductName: m.Name, version.FileDescription: m.Name,
		version.ProductVersion: m.Version, version.FileVersion: m.Version,
		version.OriginalFilename: program, version.InternalName: "kleinbild", version.LegalCopyright: "Apache-2.0",
	} {
		if err := info.Set(version.LangDefault, key, value); err != nil {
			return set, err
		}
	}
	set.SetVersionInfo(info)
	set.SetManifest(winres.AppManifest{
		Identity: winres.AssemblyIdentity{Name: m.ID, Version: number}, Description: m.Name,
		Compatibility: winres.Win10AndAbove, DPIAwareness: winres.DPIPerMonitorV2, ExecutionLevel: winres.AsInvoker,
		LongPathAware: true, UseCommonControlsV6: true,
	})
	return set, nil
}

// addResources adds its resources to the program for Windows at path.
func addResources(m metadata, path string) error {
	set, err := resources(m, filepath.Base(path))
	if err != nil {
		return err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := set.WriteToEXE(file, bytes.NewReader(program)); err != nil {
		return fmt.Errorf("resources of %s: %w", path, err)
	}
	return file.Close()
}
