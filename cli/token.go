package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/adrg/xdg"

	"kleinbild/atomicfile"
)

const (
	// maxTokenBytes is well below the 32 KiB that all headers of a request may have.
	maxTokenBytes = 4 << 10
	wantToken     = "want one word of letters, digits and signs, of at most 4096 bytes"
)

// standardInput is the name that stands for it.
const standardInput = "-"

// tokenFile is kleinbild/token in the user's configuration folder.
func tokenFile() string { return filepath.Join(xdg.ConfigHome, "kleinbild", "token") }

// isToken says whether a request's header can carry text as a token.
func isToken(text string) bool {
	return text != "" && len(text) <= maxTokenBytes && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) })
}

// token returns what requests must send, "" where they need not.
func (c serveCommand) token(ctx context.Context, s Streams) (string, error) {
	switch {
	case c.NoAuth:
		return "", nil
	case c.Token != "":
		return c.Token, nil
	case c.TokenFile == standardInput:
		text, err := io.ReadAll(io.LimitReader(s.In, maxTokenBytes+2))
		if err != nil {
			return "", fmt.Errorf("--token-file: standard input: %w", err)
		}
		return parseToken("--token-file: standard input", text)
	case c.TokenFile != "":
		return namedToken(s, c.TokenFile)
	}
	return keptToken(ctx, s, tokenFile())
}

// namedToken reads the file that the user named. Containers and service managers hand secrets over in files of theirs, which
// no other user reaches whatever their mode says: that is told, not refused.
func namedToken(s Streams, path string) (string, error) {
	text, mode, foreign, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w; - reads standard input", err)
	}
	token, err := parseToken("--token-file: "+path, text)
	if err == nil && (readableByOthers(mode) || foreign) {
		fmt.Fprintf(s.Err, "note: other users of this machine may be able to read %s\n", path)
	}
	return token, err
}

// keptToken returns the token of the file at path; the first start makes one there. Of two first starts at once one makes
// it, and both take what lies there afterwards.
func keptToken(ctx context.Context, s Streams, path string) (string, error) {
	made := rand.Text()
	for end := time.Now().Add(settlesIn); ; {
		token, err := readToken(s, path)
		if errors.Is(err, fs.ErrNotExist) {
			if err = claimToken(path, made); err == nil || errors.Is(err, fs.ErrExist) {
				token, err = readToken(s, path)
			}
		}
		switch {
		case err == nil && token == made && isTerminal(s.Err): // a log is read by others, and kept
			fmt.Fprintf(s.Err, "token: %s (kept in %s, shown this once)\n", token, path)
			return token, nil
		case err == nil:
			fmt.Fprintf(s.Err, "the token is in %s\n", path)
			return token, nil
		case !settles(err) || time.Now().After(end):
			return "", fmt.Errorf("token: %w", err)
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settlesIn is how long the file may be in the hands of another first start: on a disk without links an empty file takes the
// name for a moment, and Windows lets nobody read what is being moved.
const settlesIn = time.Second

var errEmptyToken = errors.New("is empty: delete it, and the next start makes a new token")

func settles(err error) bool {
	const sharingViolation = syscall.Errno(32)
	return errors.Is(err, errEmptyToken) || runtime.GOOS == "windows" && errors.Is(err, sharingViolation)
}

func readToken(s Streams, path string) (string, error) {
	text, mode, foreign, err := readSecret(path)
	switch {
	case err != nil:
		return "", err
	case readableByOthers(mode):
		return "", fmt.Errorf("%s: mode %04o lets others read it, want 0600 (delete it to get a new one)", path, mode.Perm())
	case len(text) == 0:
		return "", fmt.Errorf("%s: %w", path, errEmptyToken)
	}
	token, err := parseToken(path, text)
	if err != nil {
		return "", fmt.Errorf("%w (delete it to get a new one)", err)
	}
	if foreign {
		fmt.Fprintf(s.Err, "note: %s belongs to another user, who can read it\n", path)
	}
	return token, nil
}

// readSecret reads a small file and says who else may read it: its mode, and whether it belongs to another user.
func readSecret(path string) (text []byte, mode fs.FileMode, foreign bool, err error) {
	if text, err = atomicfile.Read(path, maxTokenBytes); err != nil {
		return nil, 0, false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, false, err
	}
	return text, info.Mode(), ownedByOthers(info), nil
}

// readableByOthers goes by the mode, which says nothing on Windows.
func readableByOthers(mode fs.FileMode) bool {
	return runtime.GOOS != "windows" && mode.Perm()&0o077 != 0
}

// parseToken returns the one word in text. Errors do not repeat it.
func parseToken(where string, text []byte) (string, error) {
	token := strings.TrimSpace(string(text))
	switch {
	case token == "":
		return "", fmt.Errorf("%s: holds no token, %s", where, wantToken)
	case !isToken(token):
		return "", fmt.Errorf("%s: holds no token but something else, %s", where, wantToken)
	}
	return token, nil
}

// claimToken writes a token where there is none. The error wraps fs.ErrExist where another start was faster.
func claimToken(path, token string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := atomicfile.Create(path, 0o600)
	if err != nil {
		return err
	}
	defer file.Discard()
	if _, err := fmt.Fprintln(file, token); err != nil {
		return err
	}
	return file.Claim(path)
}
