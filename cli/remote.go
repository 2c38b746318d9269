package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"
	"github.com/alecthomas/kong"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/client"
	"github.com/kleinbild/kleinbild/inference"
)

// serverTokenVariable names the token of --server privately. It is not $KLEINBILD_TOKEN, which is the token of this
// computer's own server.
const serverTokenVariable = "KLEINBILD_SERVER_TOKEN"

// remoteFlags are the flags that choose the engine of another computer.
type remoteFlags struct {
	Server    string `placeholder:"URL" help:"${server_help}"`
	Token     string `placeholder:"TEXT" help:"${server_token_help}"`
	TokenFile string `placeholder:"FILE" help:"${server_token_file_help}"`
	CA        string `name:"ca" placeholder:"FILE" help:"${ca_help}"`
	Insecure  bool   `help:"${insecure_help}"`
}

// Remote says whose engine to use. Address is "" for this computer's own.
type Remote struct {
	Address  string
	Token    string // "" for the one that is kept for the address
	CA       string // the path of a file with certificates of authorities, "" for none
	Insecure bool   // plain http is allowed
}

// remote returns the choice that the flags make.
func (f remoteFlags) remote(s Streams) (Remote, error) {
	switch {
	case f.Server == "":
		for _, flag := range []struct {
			name  string
			given bool
		}{
			{"--token", f.Token != ""}, {"--token-file", f.TokenFile != ""}, {"--ca", f.CA != ""}, {"--insecure", f.Insecure},
		} {
			if flag.given {
				return Remote{}, usagef("%s without --server, want both or neither", flag.name)
			}
		}
		return Remote{}, nil
	case f.Token != "" && f.TokenFile != "":
		return Remote{}, usagef("--token and --token-file exclude each other")
	case f.Token != "" && !isToken(f.Token):
		return Remote{}, usagef("--token: %s", wantToken)
	}
	address, err := client.ParseAddress(f.Server, f.Insecure)
	if plain := (client.PlainError{}); errors.As(err, &plain) {
		return Remote{}, usagef(
			"--server %s: http:// sends the token, prompts and pictures so that everybody on the way can "+
				"read them: use https:// (--insecure allows http://)",
			f.Server,
		)
	}
	if err != nil {
		return Remote{}, usageError{fmt.Errorf("--server: %w", err)}
	}
	r := Remote{Address: address.String(), Token: f.Token, CA: f.CA, Insecure: f.Insecure}
	if f.CA != "" {
		if r.CA, err = filepath.Abs(f.CA); err != nil {
			return Remote{}, fmt.Errorf("--ca: %w", err)
		}
	}
	switch variable := os.Getenv(serverTokenVariable); {
	case f.TokenFile != "":
		r.Token, err = secretOf(s, f.TokenFile)
	case f.Token == "" && variable != "":
		r.Token, err = parseToken("$"+serverTokenVariable, []byte(variable))
	}
	return r, err
}

// OpenRemote opens the engine of another computer.
func OpenRemote(ctx context.Context, r Remote) (inference.Generator, error) {
	address, err := client.ParseAddress(r.Address, r.Insecure)
	if err != nil {
		return nil, err
	}
	if r.Token == "" {
		if r.Token, err = serverToken(address.String()); err != nil {
			return nil, err
		}
	}
	e, err := client.Open(ctx, client.Options{Address: address, Token: r.Token, CA: r.CA, Version: Version})
	if err != nil {
		return nil, err // not e, which would be an interface that holds a nil pointer
	}
	return e, nil
}

// serverTokenFile returns the path of the file that keeps the token of another computer. Its first line is the address
// that the token is for, so that it is never sent elsewhere; its second line is the token.
func serverTokenFile() string { return filepath.Join(xdg.ConfigHome, "kleinbild", "server-token") }

// maxServerTokenBytes bounds the file: an address, and a token.
const maxServerTokenBytes = maxTokenBytes + 4<<10

// serverToken returns the token that is kept for an address, "" if there is none.
func serverToken(address string) (string, error) {
	path := serverTokenFile()
	text, err := atomicfile.Read(path, maxServerTokenBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("token: %w", err)
	case readableByOthers(info.Mode()):
		return "", fmt.Errorf(
			"token: %s: mode %04o lets others read it, want 0600 (delete the file, and give the token again)",
			path,
			info.Mode().Perm(),
		)
	}
	of, token, _ := strings.Cut(string(text), "\n")
	if of != address {
		return "", nil
	}
	return parseToken(path, []byte(token))
}

// RemoteSetting returns the other computer that the user's settings name. use says whether the window uses it;
// otherwise it is the one that was used last, if there is any.
func RemoteSetting() (r Remote, use bool, err error) {
	s, err := readSettings()
	if err != nil || s.Server == nil {
		return Remote{}, false, err
	}
	return Remote{Address: s.Server.Address, CA: s.Server.CA, Insecure: s.Server.Insecure}, s.Server.Use, nil
}

// SetRemoteSetting makes r the other computer of the user's settings, and says whether the window uses it from now on.
// The token goes into a file of its own, which only the user can read; if r has none, the one that is kept stays.
func SetRemoteSetting(r Remote, use bool) error {
	address, err := client.ParseAddress(r.Address, true)
	if err != nil {
		return err
	}
	r.Address = address.String()
	if r.Token != "" {
		path := serverTokenFile()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("token: %w", err)
		}
		if err := atomicfile.Write(path, []byte(r.Address+"\n"+r.Token+"\n"), 0o600); err != nil {
			return fmt.Errorf("token: %s: %w", path, err)
		}
	}
	return changeSettings(func(s *settings) {
		s.Server = &serverSetting{Address: r.Address, CA: r.CA, Insecure: r.Insecure, Use: use}
	})
}

// WindowArguments are the arguments of a call that opens the window.
type WindowArguments struct {
	Files  []string // pictures to open
	Remote Remote   // the computer to use, none if its Address is ""
}

// ParseWindow reads arguments that begin with a flag for the window, such as --server URL. ok is false if they are for
// the command line. The error is one of usage.
func ParseWindow(args []string, s Streams) (w WindowArguments, ok bool, err error) {
	isServer := func(arg string) bool { return arg == "--server" || strings.HasPrefix(arg, "--server=") }
	if len(args) == 0 || !strings.HasPrefix(args[0], "-") || !anyOf(args, isServer) {
		return w, false, nil
	}
	var flags struct {
		remoteFlags
		Files []string `arg:"" optional:""`
	}
	parser, err := kong.New(&flags, kong.Name("kleinbild"), kong.NoDefaultHelp(), byteStrings, helpTexts)
	if err != nil {
		panic(err) // a mistake in the tags above
	}
	if _, err := parser.Parse(args); err != nil {
		return w, true, usageError{err}
	}
	s = withSafeWriters(s)
	w.Files = flags.Files
	w.Remote, err = flags.remote(s)
	return w, true, err
}

func anyOf(args []string, is func(string) bool) bool {
	for _, arg := range args {
		if is(arg) {
			return true
		}
	}
	return false
}
