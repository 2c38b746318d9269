package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// wantListen says which values --listen takes.
const wantListen = "want ADDRESS:PORT, such as 127.0.0.1:7820, [::1]:7820, or 0.0.0.0:7820 for the whole network"

// The error numbers of sockets on Windows.
const (
	wsaNotAllowed   = syscall.Errno(10013)
	wsaInUse        = syscall.Errno(10048)
	wsaNotAvailable = syscall.Errno(10049)
)

// listen listens on address. Its error says what the user can do.
func listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, usagef("--listen %s: %s", address, wantListen)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, usagef("--listen %s: the port is %q, want a number from 0 (any free port) to 65535", address, port)
	}
	listener, err := net.Listen("tcp", address)
	var unknown *net.DNSError
	switch {
	case err == nil:
		return listener, nil
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, wsaInUse):
		return nil, fmt.Errorf("--listen %s: another program uses this port, perhaps another kleinbild serve: "+
			"end it, or take another port (0 takes a free one)", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, wsaNotAvailable), errors.As(err, &unknown):
		return nil, fmt.Errorf("--listen %s: this machine has no address %s: %s", address, host, wantListen)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, wsaNotAllowed):
		return nil, fmt.Errorf("--listen %s: the system does not allow port %s: take another one, from 1024 on",
			address, port)
	}
	return nil, fmt.Errorf("--listen %s: %w", address, err)
}

// checkNames returns an error for a value of --allow-host or --allow-origin that no header of a request can have.
func (c serveCommand) checkNames() error {
	for _, host := range c.AllowHost {
		if host == "" || strings.ContainsAny(host, ":/*@[] ") {
			return usagef("--allow-host %s: want a name without a port, such as studio.lan; "+
				"IP addresses are always allowed", host)
		}
	}
	for _, origin := range c.AllowOrigin {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Contains(u.Host, "*") ||
			u.Scheme+"://"+u.Host != origin {
			return usagef("--allow-origin %s: want a website without a path, as browsers send it, "+
				"such as https://paint.example", origin)
		}
	}
	return nil
}
