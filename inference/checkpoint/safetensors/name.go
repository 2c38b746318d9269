package safetensors

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// maxFileNameBytes is the longest name that the file systems of Linux and Windows allow.
const maxFileNameBytes = 255

// deviceNames are names that Windows gives to devices, in every folder and with any file extension.
var deviceNames = []string{"con", "prn", "aux", "nul", "conin$", "conout$"}

// PlainName reports whether name is a safe file name on every system. Names that come from a stranger's file or server
// must be. A plain name has no path, drive or stream, no control characters, no name of a device, no dot or space at
// its end or beginning, and at most 255 bytes of UTF-8.
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
