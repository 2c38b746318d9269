package picture

import (
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// ReferenceFile names a reference picture.
type ReferenceFile struct {
	// Path is the file's path while the program runs, and the base name in a written picture. It is "" if the picture came
	// from no file. Pictures written by earlier versions contain the whole path.
	Path   string `json:"path"`
	SHA256 string `json:"sha256"` // of the file's bytes, in hexadecimal
	// Arrangement is what was done to the file's picture before it was prepared.
	Arrangement Arrangement `json:"arrangement,omitzero"`
}

// MarshalJSON adds "path_base64" with the bytes of a path that is not UTF-8. In a JSON string the bad bytes of such a
// path become U+FFFD.
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

// PathBytes returns the bytes of a path that is not valid UTF-8, which JSON needs in addition to find the file again.
// It returns nil for other paths. On most systems a file's name is any sequence of bytes.
func PathBytes(path string) []byte {
	if utf8.ValidString(path) {
		return nil
	}
	return []byte(path)
}

// BaseName returns the last element of a path of any system. A picture made on Windows may be read on Linux, and the
// reverse, so both separators count.
func BaseName(path string) string { return path[strings.LastIndexAny(path, `/\`)+1:] }

// WithoutFolders returns m with the base names of its references and its mask instead of paths, because people share
// the written pictures.
func (m Metadata) WithoutFolders() Metadata {
	var references []ReferenceFile
	for _, r := range m.References {
		r.Path = BaseName(r.Path)
		references = append(references, r)
	}
	m.References, m.Edit = references, m.Edit.withoutFolders()
	return m
}
