//go:build linux

package main

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// validate runs desktops' own tools, those that are installed, on the files for desktops below the prefix root.
func validate(m metadata, root string) (err error) {
	entry := filepath.Join(root, "share/applications", m.ID+".desktop")
	info := filepath.Join(root, "share/metainfo", m.ID+".metainfo.xml")
	for _, tool := range [][]string{
		{"desktop-file-validate", entry},
		{"appstreamcli", "validate", "--no-net", "--pedantic", info},
	} {
		if _, missing := exec.LookPath(tool[0]); missing != nil {
			fmt.Println("not checked, because it is not installed:", tool[0])
			continue
		}
		err = errors.Join(err, command(root, tool[0], tool[1:]...))
	}
	return err
}
