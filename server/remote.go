package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"kleinbild/inference/picture"
)

// Limits of fetching one reference.
const (
	fetchTimeout   = 30 * time.Second
	fetchRedirects = 3
	fetchBytes     = 64 << 20
)

// remote fetches reference pictures from public addresses. What may be reached is decided when a connection is made, on
// the address itself, so that neither names nor redirects can lead into the user's own network.
type remote struct {
	client  *http.Client
	allowed func(netip.Addr) bool
}

var errNotPublic = errors.New("the address is not public")

func newRemote() *remote {
	r := &remote{allowed: public}
	dialer := &net.Dialer{
		Timeout: 10 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			ip, err := netip.ParseAddrPort(address)
			if err != nil || !r.allowed(ip.Addr().Unmap()) {
				return errNotPublic
			}
			return nil
		},
	}
	r.client = &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would connect on our behalf, past the check
			DialContext:            dialer.DialContext,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  20 * time.Second,
		},
		CheckRedirect: func(to *http.Request, via []*http.Request) error {
			if len(via) > fetchRedirects {
				return fmt.Errorf("more than %d redirects", fetchRedirects)
			}
			if to.URL.Scheme != "http" && to.URL.Scheme != "https" {
				return errors.New("redirected to something other than http")
			}
			return nil
		},
	}
	return r
}

// notPublic are the blocks that netip has no name for: shared address space, protocol assignments, documentation,
// benchmarks, reserved, and those that carry an IPv4 address inside.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// public says whether an address lies in the public network: not on this machine, in its local networks, or nowhere.
func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" {
		return false
	}
	for _, block := range notPublic {
		if block.Contains(ip) {
			return false
		}
	}
	return true
}

// fetch returns the bytes at address.
func (r *remote) fetch(ctx context.Context, field string, address *url.URL) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, invalid(field, "%s", err)
	}
	request.Header.Set("User-Agent", "Kleinbild")
	response, err := r.client.Do(request)
	if err != nil {
		if errors.Is(err, errNotPublic) {
			return nil, invalid(field, "%s, want one on the public internet", errNotPublic)
		}
		return nil, invalid(field, "cannot be fetched")
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, invalid(field, "cannot be fetched: status %d", response.StatusCode)
	}
	limit := int64(min(fetchBytes, picture.MaxFileBytes))
	data, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		return nil, invalid(field, "cannot be fetched whole")
	case int64(len(data)) > limit:
		return nil, errorf(http.StatusRequestEntityTooLarge, "%s: more than %d bytes", field, limit)
	}
	return data, nil
}
