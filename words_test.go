package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// aFlag matches a flag of a command line within a sentence.
var aFlag = regexp.MustCompile(`(?:^|[\s(])--?[a-z][a-z-]*\b`)

// notAWord separates what could be names of fields.
var notAWord = regexp.MustCompile(`[^a-z_]+`)

// TestEngineNamesNoFace: no sentence of the engine names a flag of the command line or a field of the API. Faces have
// their own words for what the engine says.
func TestEngineNamesNoFace(t *testing.T) {
	document, err := os.ReadFile(filepath.Join("server", "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]bool{}
	for _, match := range regexp.MustCompile(`"([a-z]+(?:_[a-z]+)+)": \{`).FindAllSubmatch(document, -1) {
		fields[string(match[1])] = true
	}
	if !fields["aspect_ratio"] || !fields["image_uris"] {
		t.Fatalf("fields %v, want those of the API's document", fields)
	}
	sentences := 0
	for _, room := range []string{"inference", "kernels"} {
		err := filepath.WalkDir(room, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			if file.Name.Name == "main" {
				return nil // a generator, which has flags of its own
			}
			for _, text := range sentencesOf(file) {
				sentences++
				if named := aFlag.FindString(text); named != "" {
					t.Errorf("%s: %q names the flag %s", path, text, named)
				}
				for _, word := range notAWord.Split(text, -1) {
					if fields[word] {
						t.Errorf("%s: %q names the API's field %s", path, text, word)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if sentences < 500 {
		t.Errorf("%d sentences were read, want all of the engine's", sentences)
	}
}

// sentencesOf returns the string literals of more than one word, without the tags of struct fields.
func sentencesOf(file *ast.File) (list []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Field:
			n.Tag = nil
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			if err == nil && n.Kind == token.STRING && strings.Contains(text, " ") {
				list = append(list, text)
			}
		}
		return true
	})
	return list
}
