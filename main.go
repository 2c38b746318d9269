// Kleinbild makes pictures with FLUX.2 [klein] on the user's own machine.
package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"

	"kleinbild/cli"
)

// version is the text of VERSION, the one place where the project's version stands.
//
//go:embed VERSION
var version string

func main() {
	cli.Version = strings.TrimSpace(version)
	args := os.Args[1:]
	if !strings.ContainsAny(os.Args[0], " '\"\\$`") { // such a path would have to be quoted
		cli.Invocation = os.Args[0]
	}
	if areFiles(args) && openWindow(args) {
		return
	}
	os.Exit(cli.Main(args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// areFiles says whether every argument names a file; it is true if there are no arguments. A desktop starts the program
// with the files that it should open. An argument without a file extension is a command.
func areFiles(args []string) bool {
	for _, arg := range args {
		if info, err := os.Stat(arg); err != nil || !info.Mode().IsRegular() || filepath.Ext(arg) == "" {
			return false
		}
	}
	return true
}
