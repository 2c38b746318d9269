// Kleinbild makes pictures with FLUX.2 [klein] on the user's own machine.
package main

import (
	"os"

	"kleinbild/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
