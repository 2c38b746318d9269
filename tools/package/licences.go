//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// thirdParty returns a file with the licences of Go and of all modules that are compiled into the program. Most
// licences require that their text is distributed with the program. The error names a module that has no licence.
func thirdParty(system string, window bool) (entry, error) {
	list := newCommand("go", "list", "-deps", "-json=Module,Standard", ".")
	env, err := buildEnv(system, window)
	if err != nil {
		return entry{}, err
	}
	list.Env, list.Stderr = env, os.Stderr
	out, err := list.Output()
	if err != nil {
		return entry{}, fmt.Errorf("go list: %w", err)
	}
	modules := map[string]string{} // from "path version" to the module's folder
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Module *struct {
				Path, Version, Dir string
				Main               bool
			}
		}
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return entry{}, err
		}
		if p.Module != nil && !p.Module.Main {
			modules[p.Module.Path+" "+p.Module.Version] = p.Module.Dir
		}
	}
	root, err := newCommand("go", "env", "GOROOT").Output()
	if err != nil {
		return entry{}, fmt.Errorf("go env: %w", err)
	}
	modules["Go"] = strings.TrimSpace(string(root))
	var names []string
	for name := range modules {
		names = append(names, name)
	}
	slices.Sort(names)
	var text bytes.Buffer
	text.WriteString("Kleinbild contains the following, each under its own licence.\n")
	for _, name := range names {
		files, err := licenceFiles(modules[name])
		if err != nil {
			return entry{}, err
		}
		if len(files) == 0 {
			return entry{}, fmt.Errorf("%s: no licence file in %s, want one", name, modules[name])
		}
		for _, file := range files {
			licence, err := os.ReadFile(file)
			if err != nil {
				return entry{}, err
			}
			fmt.Fprintf(&text, "\n%s\n%s: %s\n\n%s\n",
				strings.Repeat("=", 78), name, filepath.Base(file), bytes.TrimSpace(licence))
		}
	}
	return entry{"third-party-licences.txt", 0o644, text.Bytes()}, nil
}

// licencePrefixes begin the names of licence files, in upper case.
var licencePrefixes = []string{"LICEN", "COPYING", "NOTICE", "PATENTS"}

// licenceFiles returns the licence files in a module's folder, and in its folder lib, where modules keep the C
// libraries that they include.
func licenceFiles(dir string) (files []string, err error) {
	for _, folder := range []string{dir, filepath.Join(dir, "lib")} {
		list, err := os.ReadDir(folder)
		if folder != dir && errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return nil, err
		}
		for _, e := range list {
			begins := func(prefix string) bool { return strings.HasPrefix(strings.ToUpper(e.Name()), prefix) }
			if !e.IsDir() && slices.ContainsFunc(licencePrefixes, begins) {
				files = append(files, filepath.Join(folder, e.Name()))
			}
		}
	}
	return files, nil
}
