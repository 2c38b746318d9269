package main

import (
	"bytes"
	"fmt"
)

// replaceSection returns page with the section of machine replaced by text, or with that section at its end if page
// has none. A section lies between the comments that this function writes.
func replaceSection(page []byte, machine string, text []byte) []byte {
	begin := fmt.Appendf(nil, "<!-- machine: %s -->\n", machine)
	end := []byte("<!-- end of machine -->\n")
	heading := fmt.Appendf(nil, "\n## %s\n\n", machine)
	section := bytes.Join([][]byte{begin, heading, bytes.TrimSpace(text), []byte("\n\n"), end}, nil)
	before, rest, found := bytes.Cut(page, begin)
	if !found {
		page = bytes.TrimRight(page, "\n")
		if len(page) > 0 {
			page = append(page, "\n\n"...)
		}
		return append(page, section...)
	}
	// If the end of the section is missing, it extends to the next machine, or to the end of the file.
	_, after, whole := bytes.Cut(rest, end)
	if next := bytes.Index(rest, []byte("<!-- machine: ")); next >= 0 && (!whole || next < len(rest)-len(after)) {
		after = rest[next:]
	}
	return bytes.Join([][]byte{before, section, after}, nil)
}
