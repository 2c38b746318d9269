// Kleinbild makes pictures with FLUX.2 [klein] on the user's own machine.
package main

import (
	"os"

	"kleinbild/cli"
)

func main() {
	args := os.Args[1:]
	if len(args) == 0 && openWindow() {
		return
	}
	os.Exit(cli.Main(args, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
