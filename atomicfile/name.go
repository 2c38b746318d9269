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

// Limits of one name: in bytes on the file systems of Linux, in UTF-16 units on those of Windows.
const maxNameBytes, maxNameUnits = 255, 255

// CheckName finds out whether the system takes the name that path ends in for that of a file, before anything is
// computed for it. What one file system takes and another does not, only a try can tell.
func CheckName(path string) error { return checkName(path, runtime.GOOS == "windows") }

// checkName is CheckName for either system, so that every machine tests both.
func checkName(path string, windows bool) error {
	name := path
	if windows {
		if len(path) >= 2 && path[1] == ':' { // a drive
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
		return errors.New("the name holds a NUL, which no system takes: choose another one")
	case !windows && len(name) > maxNameBytes, windows && len(utf16.Encode([]rune(name))) > maxNameUnits:
		return errors.New("the name is too long: choose a shorter one")
	case windows:
		return checkWindowsName(name)
	}
	return nil
}

// checkWindowsName refuses what Windows would read as something else: a device, whatever its ending, another stream of
// a file, or a name without the dot or blank at its end.
func checkWindowsName(name string) error {
	if i := strings.IndexFunc(name, func(r rune) bool { return r < ' ' || strings.ContainsRune(`<>:"|?*`, r) }); i >= 0 {
		return fmt.Errorf("the name holds %q, which Windows does not take: choose another one", name[i])
	}
	if last := name[len(name)-1]; last == '.' || last == ' ' {
		return fmt.Errorf("the name ends in %q, which Windows leaves out: choose another one", last)
	}
	stem, _, _ := strings.Cut(name, ".")
	if stem = strings.ToUpper(strings.TrimRight(stem, " ")); isDevice(stem) {
		return fmt.Errorf("%s is a device on Windows: choose another name", stem)
	}
	return nil
}

// isDevice tells the names that Windows keeps for devices; it counts the digits ¹, ² and ³ among 1 to 9.
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

// CheckReplace finds out whether the file at path can be replaced: nobody has protected it against writing, and on
// Windows no other program has it open. A path that nothing has is none that cannot be replaced.
func CheckReplace(path string) error {
	path = filepath.Clean(path)
	if err := protected(path); err != nil {
		return err
	}
	return inUse(path)
}

// ErrProtected is wrapped by the error for a file that somebody has protected against writing. A system that replaces
// files by their folder's leave would replace it all the same.
var ErrProtected = errors.New("the file is protected against writing: choose another name, or allow writing to it")

func protected(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o222 == 0 {
		return ErrProtected
	}
	return nil
}
