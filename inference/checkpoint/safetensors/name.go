package safetensors

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFileNameBytes is what the file systems of Linux and Windows take.
const maxFileNameBytes = 255

// deviceNames are, on Windows, devices in every folder, whatever ending they have.
var deviceNames = []string{"con", "prn", "aux", "nul", "conin$", "conout$"}

// PlainName says whether name is that of one file in one folder on every system, as a name must be that a stranger's file or
// server gives: no path, drive or stream, no name of a device, no dot or blank at its end, no dot at its beginning.
func PlainName(name string) bool {
	if name == "" || len(name) > maxFileNameBytes || !utf8.ValidString(name) || strings.ContainsAny(name, `/\:*?"<>|`) {
		return false
	}
	if name[0] == '.' || strings.HasSuffix(name, ".") || strings.HasPrefix(name, " ") || strings.HasSuffix(name, " ") {
		return false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	stem, _, _ := strings.Cut(strings.ToLower(name), ".")
	stem = strings.TrimRight(stem, " ")
	if slices.Contains(deviceNames, stem) {
		return false
	}
	number, port := strings.CutPrefix(stem, "com")
	if !port {
		number, port = strings.CutPrefix(stem, "lpt")
	}
	return !port || !slices.Contains([]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³"}, number)
}
