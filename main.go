// Kleinbild makes pictures with FLUX.2 [klein] on the user's own machine.
package main

import (
	_ "embed"
	"os"
	"path/filepath"
	"strings"

	"github.com/kleinbild/kleinbild/cli"
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
	streams := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	window, ok, err := cli.ParseWindow(args, streams)
	if err != nil {
		os.Exit(cli.Failed(os.Stderr, err))
	}
	if areFiles(args) {
		window.Files, ok = args, true
	}
	if ok && openWindow(window) {
		return
	}
	if window.Remote.Address != "" {
		args = nil // flags of the window, which the command line does not know
	}
	os.Exit(cli.Main(args, streams))
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
