package picture

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// ReferenceFile names a reference picture.
type ReferenceFile struct {
	// Path is the file's path while the program holds it, its base name in a picture; "" for one that lay in no file. Pictures
	// of earlier versions have a path.
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // of the file's bytes, hexadecimal
}

// MarshalJSON adds "path_base64", the bytes of a path that is not UTF-8, of which JSON keeps U+FFFD only.
func (r ReferenceFile) MarshalJSON() ([]byte, error) {
	type plain ReferenceFile
	return json.Marshal(struct {
		plain
		PathBytes []byte `json:"path_base64,omitempty"`
	}{plain(r), PathBytes(r.Path)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *ReferenceFile) UnmarshalJSON(text []byte) error {
	type plain ReferenceFile
	read := struct {
		*plain
		PathBytes []byte `json:"path_base64"`
	}{plain: (*plain)(r)}
	err := json.Unmarshal(text, &read)
	if err == nil && len(read.PathBytes) > 0 {
		r.Path = string(read.PathBytes)
	}
	return err
}

// PathBytes returns what JSON needs beside a path to find the file by: the path's bytes where they are not UTF-8, else
// nil. Names of files are bytes on most systems.
func PathBytes(path string) []byte {
	if utf8.ValidString(path) {
		return nil
	}
	return []byte(path)
}

// BaseName returns the last part of a path of any system: a picture made on Windows may be read on Linux, and the other
// way round.
func BaseName(path string) string { return path[strings.LastIndexAny(path, `/\`)+1:] }

// WithoutFolders returns m with the base names of its references, as a picture that is shared has them.
func (m Metadata) WithoutFolders() Metadata {
	var references []ReferenceFile
	for _, r := range m.References {
		references = append(references, ReferenceFile{Path: BaseName(r.Path), SHA256: r.SHA256})
	}
	m.References = references
	return m
}
