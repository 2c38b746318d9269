package cli

import (
	"bufio"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// windowLibraries are the libraries that the window needs on Linux, and the packages that contain them.
var windowLibraries = []struct{ file, debian, fedora, arch, suse string }{
	{"libGL.so.1", "libgl1", "libglvnd-glx", "libglvnd", "libglvnd"},
	{"libX11.so.6", "libx11-6", "libX11", "libx11", "libX11-6"},
	{"libXcursor.so.1", "libxcursor1", "libXcursor", "libxcursor", "libXcursor1"},
	{"libXrandr.so.2", "libxrandr2", "libXrandr", "libxrandr", "libXrandr2"},
	{"libXinerama.so.1", "libxinerama1", "libXinerama", "libxinerama", "libXinerama1"},
	{"libXi.so.6", "libxi6", "libXi", "libxi", "libXi6"},
	{"libXxf86vm.so.1", "libxxf86vm1", "libXxf86vm", "libxxf86vm", "libXxf86vm1"},
}

// libraryFolders are searched for libraries, beside the folders that the system's configuration names.
var libraryFolders = []string{
	"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib", "usr/local/lib",
}

// WindowState says whether this Linux system has what a window needs. state is a sentence for the user, with what to do
// if something is missing. doctor prints it, and main if the window does not open.
func WindowState() (state string, ready bool) { return windowAdvice(rootFS(), os.Getenv) }

// windowAdvice returns what WindowState returns. root is the file system, env returns environment variables.
func windowAdvice(root fs.FS, env func(string) string) (state string, ready bool) {
	const without = "; kleinbild generate makes pictures without a window"
	state = windowState(root, env)
	display := env("DISPLAY")
	socket := xSocket(display)
	switch {
	case strings.HasPrefix(state, "lacks"):
		return state, false
	case display == "" && env("WAYLAND_DISPLAY") != "":
		return state + ": the window needs X11 or XWayland, so install the package xwayland and log in again" + without, false
	case display == "":
		return state + ": the window needs X11 or XWayland, so start it in a desktop session" + without, false
	case socket != "":
		if _, err := fs.Stat(root, socket); err != nil {
			return state + ", but there is no X server at DISPLAY=" + display +
				": start Kleinbild in a desktop session" + without, false
		}
	}
	return state, true
}

// xSocket returns the path of the socket of a display's X server, "" if the display is not on this machine.
func xSocket(display string) string {
	number, local := strings.CutPrefix(strings.TrimPrefix(display, "unix"), ":")
	number, _, _ = strings.Cut(number, ".")
	if _, err := strconv.ParseUint(number, 10, 16); !local || err != nil {
		return ""
	}
	return "tmp/.X11-unix/X" + number
}

// windowState returns a sentence that says which libraries are missing, with the command that installs them, or else
// whether there is a display.
func windowState(root fs.FS, env func(string) string) string {
	folders := append(slices.Clone(libraryFolders), configuredFolders(root)...)
	for dir := range strings.SplitSeq(env("LD_LIBRARY_PATH"), ":") {
		folders = append(folders, strings.Trim(filepath.ToSlash(dir), "/"))
	}
	manager, column := packageManager(root)
	var missing, packages []string
	for _, l := range windowLibraries {
		found := slices.ContainsFunc(folders, func(dir string) bool {
			_, err := fs.Stat(root, path.Join(dir, l.file))
			return dir != "" && err == nil
		})
		if !found {
			missing = append(missing, l.file)
			packages = append(packages, []string{l.debian, l.fedora, l.arch, l.suse}[column])
		}
	}
	switch {
	case len(missing) > 0:
		return "lacks " + strings.Join(missing, ", ") + "; to get them: " + manager + " " + strings.Join(packages, " ")
	case env("DISPLAY") == "" && env("WAYLAND_DISPLAY") == "":
		return "its libraries are installed, but there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set"
	case env("DISPLAY") == "":
		return "its libraries are installed, but there is only Wayland without an X server (Xwayland): DISPLAY is not set"
	}
	return "its libraries are installed"
}

// configuredFolders returns the folders that the files in /etc/ld.so.conf.d name.
func configuredFolders(root fs.FS) (folders []string) {
	files, _ := fs.Glob(root, "etc/ld.so.conf.d/*.conf") // it fails only for a malformed pattern
	for _, name := range files {
		file, err := root.Open(name)
		if err != nil {
			continue
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if dir := strings.TrimSpace(lines.Text()); strings.HasPrefix(dir, "/") {
				folders = append(folders, strings.Trim(dir, "/"))
			}
		}
		file.Close()
	}
	return folders
}

// packageManager returns the command that installs packages, and the column of windowLibraries with its names of
// packages. For an unknown system it returns Debian's column.
func packageManager(root fs.FS) (command string, column int) {
	text, _ := fs.ReadFile(root, "etc/os-release") // without this file the system is unknown
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if key != "ID" && key != "ID_LIKE" {
			continue
		}
		for name := range strings.FieldsSeq(strings.Trim(value, `"'`)) {
			switch {
			case name == "debian" || name == "ubuntu":
				return "sudo apt install", 0
			case name == "fedora" || name == "rhel" || name == "centos":
				return "sudo dnf install", 1
			case name == "arch":
				return "sudo pacman -S", 2
			case strings.HasPrefix(name, "opensuse") || name == "suse":
				return "sudo zypper install", 3
			}
		}
	}
	return "install the packages that Debian calls", 0
}

// rootFS returns the file system of this machine.
func rootFS() fs.FS { return os.DirFS("/") }
