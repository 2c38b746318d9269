//go:build unix && !linux

package cli

import (
	"os"
	"testing"
)

func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Skip("terminals are opened in Linux's way")
	return nil, nil
}
