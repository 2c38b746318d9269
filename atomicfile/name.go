package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"unicode/utf16"
)

// Limits of the length of one name: in bytes on the file systems of Linux, in UTF-16 code units on those of Windows.
const maxNameBytes, maxNameUnits = 255, 255

// CheckName returns an error if the operating system cannot create a regular file with the last element of path as its
// name. Callers check a name before they compute the content. A file system can have more rules, which CheckName does
// not know.
func CheckName(path string) error { return checkName(path, runtime.GOOS == "windows") }

// checkName is CheckName with the rules of Windows or of Linux, so that the tests can check both on every machine.
func checkName(path string, windows bool) error {
	var name string
	if windows {
		if len(path) >= 2 && path[1] == ':' { // a drive letter
			path = path[2:]
		}
		name = path[strings.LastIndexAny(path, `/\`)+1:]
	} else {
		name = path[strings.LastIndex(path, string('/'))+1:]
	}
	switch {
	case name == "" || name == "." || name == "..":
		return errors.New("the name of a file is missing")
	case strings.ContainsRune(name, 0):
		return errors.New("the name contains a NUL, which no system allows: choose another one")
	case !windows && len(name) > maxNameBytes, windows && len(utf16.Encode([]rune(name))) > maxNameUnits:
		return errors.New("the name is too long: choose a shorter one")
	case windows:
		return checkWindowsName(name)
	}
	return nil
}

// checkWindowsName returns an error for a name that Windows refuses or reads as something else: a device, with or
// without an extension, a stream of another file (fox.png:stream), or a name whose last dot or space Windows drops.
func checkWindowsName(name string) error {
	forbidden := func(r rune) bool { return r < ' ' || strings.ContainsRune(`<>:"|?*`, r) }
	if i := strings.IndexFunc(name, forbidden); i >= 0 {
		return fmt.Errorf("the name contains %q, which Windows does not allow: choose another one", name[i])
	}
	if last := name[len(name)-1]; last == '.' || last == ' ' {
		return fmt.Errorf("the name ends in %q, which Windows drops: choose another one", last)
	}
	stem, _, _ := strings.Cut(name, ".")
	if stem = strings.ToUpper(strings.TrimRight(stem, " ")); isDevice(stem) {
		return fmt.Errorf("%s is a device on Windows: choose another name", stem)
	}
	return nil
}

// isDevice reports whether stem, a name in upper case without extension, is one that Windows reserves for a device.
// After COM and LPT, Windows accepts ¹, ² and ³ as digits.
func isDevice(stem string) bool {
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	for _, port := range []string{"COM", "LPT"} {
		if digit, ok := strings.CutPrefix(stem, port); ok {
			return len([]rune(digit)) == 1 && strings.Contains("123456789¹²³", digit)
		}
	}
	return false
}

// CheckReplace returns an error if the file at path is protected against writing, or, on Windows, if another program
// has it open. If no file exists at path, it returns nil.
func CheckReplace(path string) error {
	path = filepath.Clean(path)
	if err := checkProtected(path); err != nil {
		return err
	}
	return checkInUse(path)
}

// ErrProtected is the error for a regular file without write permission. On Unix, a rename needs write permission for
// the folder only, and would replace the file.
var ErrProtected = errors.New("the file is protected against writing: choose another name, or allow writing to it")

func checkProtected(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o222 == 0 {
		return ErrProtected
	}
	return nil
}
