package cli

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestWindowState(t *testing.T) {
	all := func(dir string, without ...string) fstest.MapFS {
		files := fstest.MapFS{}
		for _, l := range windowLibraries {
			files[dir+"/"+l.file] = &fstest.MapFile{}
		}
		for _, name := range without {
			delete(files, dir+"/"+name)
		}
		return files
	}
	system := func(files fstest.MapFS, release string) fstest.MapFS {
		files["etc/os-release"] = &fstest.MapFile{Data: []byte(release)}
		return files
	}
	screen := map[string]string{"DISPLAY": ":0"}
	configured := all("opt/gl")
	configured["etc/ld.so.conf.d/gl.conf"] = &fstest.MapFile{Data: []byte("# own\n/opt/gl/\n")}
	for _, row := range []struct {
		name  string
		files fstest.MapFS
		env   map[string]string
		want  string
	}{
		{"Debian with all", system(all("usr/lib/x86_64-linux-gnu"), "ID=debian\n"), screen, "its libraries are installed"},
		{"a configured folder", configured, screen, "its libraries are installed"},
		{"a folder of the environment", all("opt/x"), map[string]string{"DISPLAY": ":0",
			"LD_LIBRARY_PATH": "/nowhere:/opt/x"}, "its libraries are installed"},
		{"Mint without OpenGL", system(all("usr/lib/x86_64-linux-gnu", "libGL.so.1", "libXi.so.6"),
			"NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), screen,
			"lacks libGL.so.1, libXi.so.6; to get them: sudo apt install libgl1 libxi6"},
		{"Fedora", system(all("usr/lib64", "libX11.so.6"), "ID=fedora\n"), screen,
			"lacks libX11.so.6; to get them: sudo dnf install libX11"},
		{"Arch", system(all("usr/lib", "libXcursor.so.1"), "ID=arch\n"), screen,
			"lacks libXcursor.so.1; to get them: sudo pacman -S libxcursor"},
		{"openSUSE", system(all("usr/lib64", "libXrandr.so.2"), "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n"),
			screen, "lacks libXrandr.so.2; to get them: sudo zypper install libXrandr2"},
		{"an unknown system", all("usr/lib", "libXinerama.so.1"), screen,
			"lacks libXinerama.so.1; to get them: install the packages that Debian calls libxinerama1"},
		{"no display", all("usr/lib"), nil,
			"its libraries are installed, but there is no display: neither DISPLAY nor WAYLAND_DISPLAY is set"},
		{"Wayland alone", all("usr/lib"), map[string]string{"WAYLAND_DISPLAY": "wayland-0"},
			"its libraries are installed, but there is only Wayland without an X server (Xwayland): DISPLAY is not set"},
	} {
		if have := windowState(row.files, func(key string) string { return row.env[key] }); have != row.want {
			t.Errorf("%s: %s\nwant %s", row.name, have, row.want)
		}
	}
}

// TestWindowAdvice checks the sentences for systems on which the window would not open.
func TestWindowAdvice(t *testing.T) {
	files := func(more ...string) fstest.MapFS {
		files := fstest.MapFS{}
		for _, l := range windowLibraries {
			files["usr/lib/"+l.file] = &fstest.MapFile{}
		}
		for _, name := range more {
			files[name] = &fstest.MapFile{}
		}
		return files
	}
	const ready = "its libraries are installed"
	for _, row := range []struct {
		name             string
		files            fstest.MapFS
		display, wayland string
		want             []string // parts of the sentence; nil if the window would open
	}{
		{"a display", files("tmp/.X11-unix/X0"), ":0", "", nil},
		{"a screen of a display", files("tmp/.X11-unix/X0"), ":0.1", "", nil},
		{"a display elsewhere", files(), "host:10.0", "", nil},
		{"no display", files(), "", "", []string{"no display", "desktop session", "kleinbild generate"}},
		{"Wayland alone", files(), "", "wayland-0", []string{"X11 or XWayland", "package xwayland", "kleinbild generate"}},
		{"a server that is gone", files("tmp/.X11-unix/X0"), ":77", "", []string{"DISPLAY=:77", "kleinbild generate"}},
		{"no libraries", fstest.MapFS{}, ":0", "", []string{"lacks libGL.so.1", "to get them"}},
	} {
		env := map[string]string{"DISPLAY": row.display, "WAYLAND_DISPLAY": row.wayland}
		state, ok := windowAdvice(row.files, func(key string) string { return env[key] })
		if ok != (row.want == nil) || ok && state != ready {
			t.Errorf("%s: %q, %v", row.name, state, ok)
		}
		for _, part := range row.want {
			if !strings.Contains(state, part) {
				t.Errorf("%s: %q, want %q in it", row.name, state, part)
			}
		}
	}
}
