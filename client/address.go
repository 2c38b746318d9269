package client

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// Address is the address of a server, as ParseAddress returns it.
type Address struct{ url url.URL }

// ParseAddress reads the address of a server: https://studio.lan:7820, http://127.0.0.1:7820, or a name with a port. If
// the scheme is left out, it is http for this computer, which needs no encryption, and https for others. Plain http to
// another computer is an error unless insecure is set, because everybody on the way could read token and pictures.
func ParseAddress(text string, insecure bool) (Address, error) {
	const want = "want one such as https://studio.lan:7820"
	text = strings.TrimSpace(text)
	shown := clean(text, maxTextRunes)
	if at := strings.LastIndexByte(shown, '@'); at >= 0 {
		shown = "…" + shown[at:] // a password may be before it
	}
	given := strings.Contains(text, "://")
	if !given {
		text = "//" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || strings.ContainsAny(u.Host, " \t"):
		return Address{}, fmt.Errorf("client: %q is no address of a server, %s", shown, want)
	case u.User != nil:
		return Address{}, fmt.Errorf("client: the address has a user name, %s: the token is given apart from it", want)
	case u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return Address{}, fmt.Errorf("client: %q has more than an address, %s", shown, want)
	case !given && isLoopback(u.Hostname()):
		u.Scheme = "http"
	case !given:
		u.Scheme = "https"
	case u.Scheme != "http" && u.Scheme != "https":
		return Address{}, fmt.Errorf("client: %q begins with %s://, want https:// or http://", shown, u.Scheme)
	}
	if port := u.Port(); port != "" {
		if _, err := netip.ParseAddrPort("127.0.0.1:" + port); err != nil {
			return Address{}, fmt.Errorf("client: %q has the port %s, want a number up to 65535", shown, port)
		}
	}
	u.Host, u.Path, u.RawPath = strings.ToLower(u.Host), strings.TrimRight(u.Path, "/"), ""
	a := Address{url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}}
	if a.Open() && !insecure {
		return Address{}, PlainError{a.Host()}
	}
	return a, nil
}

// PlainError says that the token and the pictures would go to another computer without encryption.
type PlainError struct{ Host string }

func (e PlainError) Error() string {
	return fmt.Sprintf("client: http:// sends the token, prompts and pictures to %s so that everybody on the way can "+
		"read them, want https:// (or allow it)", e.Host)
}

// String returns the address in full, in the form in which it can be kept.
func (a Address) String() string { return a.url.String() }

// Host returns the address for people: the name and the port.
func (a Address) Host() string { return a.url.Host }

// Open says whether what is sent there can be read on the way: plain http to another computer.
func (a Address) Open() bool { return a.url.Scheme == "http" && !isLoopback(a.url.Hostname()) }

// path returns the URL of one of the API's paths.
func (a Address) path(path string) string { return a.url.JoinPath(path).String() }

// isLoopback says whether host is this computer.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// checkLoopback refuses a connection to another computer. It is for addresses that are this computer's by name.
func checkLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err == nil && !isLoopback(host) {
		err = fmt.Errorf("the name leads to %s, which is another computer", host)
	}
	return err
}
