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

	"github.com/kleinbild/kleinbild/atomicfile"
)

const (
	// maxTokenBytes bounds a token. All headers of a request together may have 32 KiB.
	maxTokenBytes = 4 << 10
	wantToken     = "want one word of letters, digits and signs, of at most 4096 bytes"
)

// standardInput is the file name that means standard input.
const standardInput = "-"

// tokenFile returns the path of kleinbild/token in the user's configuration folder.
func tokenFile() string { return filepath.Join(xdg.ConfigHome, "kleinbild", "token") }

// isToken says whether text can be a token: one word that fits into a header of a request.
func isToken(text string) bool {
	return text != "" && len(text) <= maxTokenBytes && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) })
}

// token returns the token that requests must send, "" if they need none.
func (c serveCommand) token(ctx context.Context, s Streams) (string, error) {
	switch {
	case c.NoAuth:
		return "", nil
	case c.Token != "":
		return c.Token, nil
	case c.TokenFile != "":
		return secretOf(s, c.TokenFile)
	}
	return keptToken(ctx, s, tokenFile())
}

// secretOf returns the token that --token-file names.
func secretOf(s Streams, file string) (string, error) {
	if file != standardInput {
		return namedToken(s, file)
	}
	text, err := io.ReadAll(io.LimitReader(s.In, maxTokenBytes+2))
	if err != nil {
		return "", fmt.Errorf("--token-file: standard input: %w", err)
	}
	return parseToken("--token-file: standard input", text)
}

// namedToken reads the token from the file that the user named. If other users may be able to read the file, it prints
// a note, but returns no error: containers and service managers pass secrets in files of their own, whose folders other
// users cannot reach whatever the mode of the file is.
func namedToken(s Streams, path string) (string, error) {
	text, mode, othersFile, err := readSecret(path)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w; - reads standard input", err)
	}
	token, err := parseToken("--token-file: "+path, text)
	if err == nil && (readableByOthers(mode) || othersFile) {
		fmt.Fprintf(s.Err, "note: other users of this machine may be able to read %s\n", path)
	}
	return token, err
}

// keptToken returns the token in the file at path. If there is no file, it creates one with a new token. If two
// programs do that at once, one of them creates the file, and both return its token.
func keptToken(ctx context.Context, s Streams, path string) (string, error) {
	made := rand.Text()
	for end := time.Now().Add(claimTime); ; {
		token, err := readToken(s, path)
		if errors.Is(err, fs.ErrNotExist) {
			if err = claimToken(path, made); err == nil || errors.Is(err, fs.ErrExist) {
				token, err = readToken(s, path)
			}
		}
		switch {
		case err == nil && token == made && isTerminal(s.Err): // not in a log, which others read and which is kept
			fmt.Fprintf(s.Err, "token: %s (kept in %s, shown this once)\n", token, path)
			return token, nil
		case err == nil:
			fmt.Fprintf(s.Err, "the token is in %s\n", path)
			return token, nil
		case !isBeingClaimed(err) || time.Now().After(end):
			return "", fmt.Errorf("token: %w", err)
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// claimTime is how long another program may take to create the file of the token. On a disk without hard links the file
// is empty for a moment, and on Windows a file cannot be read while it is being moved.
const claimTime = time.Second

var errEmptyToken = errors.New("is empty: delete it, and the next start makes a new token")

// isBeingClaimed says whether err may come from a file that another program is creating.
func isBeingClaimed(err error) bool {
	const sharingViolation = syscall.Errno(32)
	return errors.Is(err, errEmptyToken) || runtime.GOOS == "windows" && errors.Is(err, sharingViolation)
}

// readToken reads the token from the program's own file at path. It returns an error if other users can read the file.
func readToken(s Streams, path string) (string, error) {
	text, mode, othersFile, err := readSecret(path)
	switch {
	case err != nil:
		return "", err
	case readableByOthers(mode):
		return "", fmt.Errorf("%s: mode %04o lets others read it, want 0600 (delete the file to get a new token)",
			path, mode.Perm())
	case len(text) == 0:
		return "", fmt.Errorf("%s: %w", path, errEmptyToken)
	}
	token, err := parseToken(path, text)
	if err != nil {
		return "", fmt.Errorf("%w (delete the file to get a new token)", err)
	}
	if othersFile {
		fmt.Fprintf(s.Err, "note: %s belongs to another user, who can read it\n", path)
	}
	return token, nil
}

// readSecret reads a small file. It also returns its mode, and whether it belongs to another user.
func readSecret(path string) (text []byte, mode fs.FileMode, othersFile bool, err error) {
	if text, err = atomicfile.Read(path, maxTokenBytes); err != nil {
		return nil, 0, false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, false, err
	}
	return text, info.Mode(), ownedByOthers(info), nil
}

// readableByOthers says whether the mode allows other users to read the file. On Windows the mode does not tell that.
func readableByOthers(mode fs.FileMode) bool {
	return runtime.GOOS != "windows" && mode.Perm()&0o077 != 0
}

// parseToken returns the token in text, without white space around it. where names the origin of text in errors, which
// never repeat the text.
func parseToken(where string, text []byte) (string, error) {
	token := strings.TrimSpace(string(text))
	switch {
	case token == "":
		return "", fmt.Errorf("%s: holds no token, %s", where, wantToken)
	case !isToken(token):
		return "", fmt.Errorf("%s: its text is not a token, %s", where, wantToken)
	}
	return token, nil
}

// claimToken creates the file at path with a token. The error wraps fs.ErrExist if the file exists already.
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
