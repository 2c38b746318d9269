//go:build linux

package main

import (
	"archive/zip"
	"bytes"
	"debug/pe"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"github.com/tc-hib/winres"
)

// check returns an error if a user could not install the packages in out. It checks that
//   - the files have the digests in SHA256SUMS,
//   - a second build gives the same bytes,
//   - the programs in the .tar.xz are hardened and run, and the command line runs where there is nothing but the C
//     library,
//   - apt finds all that the .deb depends on, by the README's command,
//   - the .deb installs into an empty root and runs there with only the packages that it depends on,
//   - lintian finds no error and no warning in it, and desktops' tools none in its files,
//   - the programs for Windows have their icon, version and manifest.
//
// It must run as root, and needs the network to fetch the packages that the .deb depends on.
func check(out string, window bool) error {
	return inWork(out, func(m metadata, work string) error {
		if err := os.Chmod(work, 0o755); err != nil { // Another user runs the program in it.
			return err
		}
		return checkAll(m, out, work, window)
	})
}

// checkAll makes the checks of check in the folder work.
func checkAll(m metadata, out, work string, window bool) error {
	base := "kleinbild-" + m.Version
	linux := filepath.Join(out, base+"-linux-amd64.tar.xz")
	deb := filepath.Join(out, fmt.Sprintf("kleinbild_%s_amd64.deb", m.Version))
	windows := filepath.Join(out, base+"-windows-amd64.zip")
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"checksums", func() error { return command(out, "sha256sum", "--check", "--quiet", "SHA256SUMS") }},
		{"reproducible", func() error { return checkReproducible(out, filepath.Join(work, "again"), window) }},
		{".tar.xz", func() error { return checkTar(m, absolute(linux), base, work, window) }},
		{"README", func() error { return checkReadme(m, absolute(deb), work) }},
		{".deb", func() error { return checkDeb(m, absolute(deb), work, window) }},
		{".zip", func() error { return checkZip(m, windows, base, window) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		fmt.Println("ok:", step.what)
	}
	return nil
}

// checkTar unpacks the archive for Linux in work, below the folder base, and runs its programs.
func checkTar(m metadata, archive, base, work string, window bool) error {
	if err := command(work, "tar", "-xJf", archive); err != nil {
		return err
	}
	bin := filepath.Join(work, base, "bin")
	programs, err := filepath.Glob(filepath.Join(bin, "*"))
	if err != nil {
		return err
	}
	for _, program := range programs {
		if err := checkHardened(program); err != nil {
			return err
		}
	}
	if err := expectVersion(newCommand(filepath.Join(bin, "kleinbild"), "version"), m); err != nil {
		return err
	}
	if !window {
		return nil
	}
	return checkBare(bin)
}

// checkZip checks the programs for Windows in an archive, below the folder base.
func checkZip(m metadata, archive, base string, window bool) error {
	const console, gui = pe.IMAGE_SUBSYSTEM_WINDOWS_CUI, pe.IMAGE_SUBSYSTEM_WINDOWS_GUI
	if !window {
		return checkExe(m, archive, path.Join(base, "kleinbild.exe"), console)
	}
	if err := checkExe(m, archive, path.Join(base, "kleinbild-cli.exe"), console); err != nil {
		return err
	}
	return checkExe(m, archive, path.Join(base, "kleinbild.exe"), gui)
}

// absolute returns name as an absolute path, or name itself if that is not known.
func absolute(name string) string {
	if full, err := filepath.Abs(name); err == nil {
		return full
	}
	return name
}

// command runs a program in dir. If it fails, the error holds what the program printed.
func command(dir, name string, args ...string) error {
	c := newCommand(name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return nil
}

// checkReproducible packs again into the folder again, with another umask and time zone, and compares the digests.
func checkReproducible(out, again string, window bool) error {
	syscall.Umask(0o077)
	defer syscall.Umask(0o022)
	if err := os.Setenv("TZ", "Asia/Kolkata"); err != nil {
		return err
	}
	if err := pack(again, window); err != nil {
		return err
	}
	first, err := os.ReadFile(filepath.Join(out, "SHA256SUMS"))
	if err != nil {
		return err
	}
	second, err := os.ReadFile(filepath.Join(again, "SHA256SUMS"))
	if err != nil {
		return err
	}
	if !bytes.Equal(first, second) {
		return fmt.Errorf("the second build has the digests\n%s, want those of the first one:\n%s", second, first)
	}
	return nil
}

// expectVersion runs a command of the program and returns an error unless it prints the version.
func expectVersion(c *exec.Cmd, m metadata) error {
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil || string(out) != "kleinbild "+m.Version+"\n" {
		return fmt.Errorf("%v: printed %q and %q, %v; want version %s", c.Args, out, &stderr, err, m.Version)
	}
	return nil
}

// checkBare copies the C library to the programs in root and runs the command line's doctor there, with root as its
// file system. The doctor should name the libraries that the program with the window lacks.
func checkBare(root string) error {
	loaded, err := newCommand("ldd", filepath.Join(root, "kleinbild-cli")).Output()
	if err != nil {
		return fmt.Errorf("ldd: %w", err)
	}
	for word := range strings.FieldsSeq(string(loaded)) {
		if !strings.HasPrefix(word, "/") {
			continue
		}
		library, err := os.ReadFile(word)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(word)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, word), library, 0o755); err != nil {
			return err
		}
	}
	out, err := (&exec.Cmd{
		Path: "/kleinbild-cli", Args: []string{"kleinbild-cli", "doctor"}, Dir: "/", Env: []string{"HOME=/"},
		SysProcAttr: &syscall.SysProcAttr{Chroot: root},
	}).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("libGL.so.1")) || !bytes.Contains(out, []byte("to get them: ")) {
		const format = "doctor with the C library alone: %v: %s; want it to name the libraries that the window lacks"
		return fmt.Errorf(format, err, out)
	}
	return nil
}

// installLine finds the command that the README gives for installing the .deb.
var installLine = regexp.MustCompile("`sudo apt install (\\./[^`]+\\.deb)`")

// checkReadme lets apt plan what the README's command would do on an empty system, in a folder that the package was
// downloaded to.
func checkReadme(m metadata, deb, work string) error {
	text, err := os.ReadFile("README.md")
	if err != nil {
		return err
	}
	line := installLine.FindSubmatch(text)
	if line == nil {
		return fmt.Errorf("README.md: want a command like %v", installLine)
	}
	downloads := filepath.Join(work, "Downloads")
	if err := os.Mkdir(downloads, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(deb, filepath.Join(downloads, filepath.Base(deb))); err != nil {
		return err
	}
	empty := filepath.Join(work, "nothing-installed")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		return err
	}
	apt := newCommand("sh", "-c", "apt-get install --simulate -o Dir::State::status="+empty+" "+string(line[1]))
	apt.Dir = downloads
	plan, err := apt.CombinedOutput()
	if err != nil || !bytes.Contains(plan, []byte("\nInst kleinbild ("+m.Version+" ")) {
		return fmt.Errorf("%s: %w: %s; want a plan that installs version %s", line[0], err, plan, m.Version)
	}
	return nil
}

// checkDeb installs the package in a root that holds nothing but the packages it depends on, runs it there as the user
// nobody, and removes it.
func checkDeb(m metadata, deb, work string, window bool) error {
	programs := []string{"kleinbild"}
	if window {
		programs = append(programs, "kleinbild-cli")
	}
	root := filepath.Join(work, "root")
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(root, "tmp"), 0o777); err != nil {
		return err
	}
	status := filepath.Join(root, "var/lib/dpkg/status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return err
	}
	if err := unpackDependencies(deb, root, work); err != nil {
		return err
	}
	// --force-depends: the dependencies were unpacked without dpkg, so its database does not have them.
	if err := command(work, "dpkg", "--root="+root, "--force-depends", "--install", deb); err != nil {
		return err
	}
	const installed = "Package: kleinbild\nStatus: install ok installed"
	if db, err := os.ReadFile(status); err != nil || !bytes.Contains(db, []byte(installed)) {
		return fmt.Errorf("dpkg's database: %s %v, want kleinbild installed", db, err)
	}
	inside := func(program string, args ...string) *exec.Cmd {
		return &exec.Cmd{
			Path: "/usr/bin/" + program, Args: append([]string{program}, args...),
			Dir: "/", Env: []string{"HOME=/tmp", "PATH=/usr/bin"},
			SysProcAttr: &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65534, Gid: 65534}},
		}
	}
	for _, program := range programs {
		if err := expectVersion(inside(program, "version"), m); err != nil {
			return err
		}
	}
	doctor, err := inside("kleinbild", "doctor").CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || !bytes.Contains(doctor, []byte("graphics")) {
		return fmt.Errorf("doctor: %w: %s", err, doctor)
	}
	for _, file := range []string{
		"usr/share/applications/" + m.ID + ".desktop", "usr/share/metainfo/" + m.ID + ".metainfo.xml",
		"usr/share/icons/hicolor/512x512/apps/" + m.ID + ".png", "usr/share/icons/hicolor/scalable/apps/" + m.ID + ".svg",
		"usr/share/man/man1/kleinbild.1.gz", "usr/share/bash-completion/completions/kleinbild",
		"usr/share/man/man1/kleinbild-cli.1.gz", "usr/share/bash-completion/completions/kleinbild-cli",
	} {
		if info, err := os.Stat(filepath.Join(root, file)); err != nil || info.Mode().Perm() != 0o644 {
			return fmt.Errorf("%s: %v, want the file with mode 0644", file, err)
		}
	}
	if err := validate(m, filepath.Join(root, "usr")); err != nil {
		return err
	}
	depends, err := newCommand("dpkg-deb", "--field", deb, "Depends").Output()
	if err != nil {
		return err
	}
	if err := validateDeb(deb, string(depends), filepath.Join(root, "usr"), work); err != nil {
		return err
	}
	if err := command(work, "dpkg", "--root="+root, "--remove", "kleinbild"); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "usr/bin/kleinbild")); err == nil {
		return errors.New("usr/bin/kleinbild exists after the package was removed, want it removed too")
	}
	return nil
}

// unpackDependencies fetches the packages that apt would install with the .deb on an empty system, and unpacks them in
// root.
func unpackDependencies(deb, root, work string) error {
	depends, err := newCommand("dpkg-deb", "--field", deb, "Depends").Output()
	if err != nil {
		return err
	}
	if len(bytes.TrimSpace(depends)) == 0 {
		return nil
	}
	archives := filepath.Join(work, "archives")
	if err := os.MkdirAll(filepath.Join(archives, "partial"), 0o755); err != nil {
		return err
	}
	empty := filepath.Join(work, "status")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		return err
	}
	err = command(work, "apt-get", "install", "--yes", "--quiet", "--download-only", "--no-install-recommends",
		"-o", "Dir::State::status="+empty, "-o", "Dir::Cache::archives="+archives, "-o", "APT::Sandbox::User=root", deb)
	if err != nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return err
	}
	for _, p := range packages {
		if strings.HasPrefix(filepath.Base(p), "kleinbild_") {
			continue
		}
		if err := command(work, "dpkg-deb", "--extract", p, root); err != nil {
			return err
		}
	}
	return nil
}

// checkExe checks the program called name in the archive: its subsystem (console or window), its resources, and that a
// LICENSE is beside it.
func checkExe(m metadata, archive, name string, subsystem uint16) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer z.Close()
	file, err := z.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	program, err := pe.NewFile(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if header, ok := program.OptionalHeader.(*pe.OptionalHeader64); !ok || header.Subsystem != subsystem {
		return fmt.Errorf("%s: header %+v, want subsystem %d", name, program.OptionalHeader, subsystem)
	}
	set, err := winres.LoadFromEXE(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	icon, err := set.GetIcon(winres.ID(1))
	if err != nil || icon == nil {
		return fmt.Errorf("%s: icon: %v, want one", name, err)
	}
	info := set.Get(winres.RT_VERSION, winres.ID(1), winres.LCIDDefault)
	wide := []byte(strings.Join(strings.Split(m.Version, ""), "\x00"))
	if !bytes.Contains(info, wide) {
		return fmt.Errorf("%s: version information of %d bytes, want %s in it", name, len(info), m.Version)
	}
	if err := checkManifest(set.Get(winres.RT_MANIFEST, winres.ID(1), winres.LCIDDefault)); err != nil {
		return fmt.Errorf("%s: manifest: %w", name, err)
	}
	if !slices.ContainsFunc(z.File, func(f *zip.File) bool { return path.Base(f.Name) == "LICENSE" }) {
		return fmt.Errorf("%s: no LICENSE, want one", archive)
	}
	return nil
}

// checkManifest checks the manifest that Windows reads when it starts the program. Without it, Windows lets the program
// draw at 96 dots per inch and scales the result, and limits paths to 260 characters.
func checkManifest(text []byte) error {
	var manifest struct {
		Settings struct {
			LongPathAware string `xml:"longPathAware"`
			DPIAwareness  string `xml:"dpiAwareness"`
		} `xml:"application>windowsSettings"`
		Controls struct {
			Name    string `xml:"name,attr"`
			Version string `xml:"version,attr"`
		} `xml:"dependency>dependentAssembly>assemblyIdentity"`
		Level struct {
			Level string `xml:"level,attr"`
		} `xml:"trustInfo>security>requestedPrivileges>requestedExecutionLevel"`
	}
	if err := xml.Unmarshal(text, &manifest); err != nil {
		return fmt.Errorf("%d bytes: %w", len(text), err)
	}
	settings, controls := manifest.Settings, manifest.Controls
	if settings.LongPathAware != "true" || !strings.HasPrefix(strings.ToLower(settings.DPIAwareness), "permonitorv2") ||
		controls.Name != "Microsoft.Windows.Common-Controls" || !strings.HasPrefix(controls.Version, "6.") ||
		manifest.Level.Level != "asInvoker" {
		const format = "%+v, want long paths, a scale for each monitor, common controls 6 and the rights of the user"
		return fmt.Errorf(format, manifest)
	}
	return nil
}
