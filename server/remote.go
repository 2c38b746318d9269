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

	"github.com/kleinbild/kleinbild/inference/picture"
)

// remote fetches reference pictures from public addresses. The IP address is checked when a connection is made, so that
// neither host names nor redirects can lead into the user's own network.
type remote struct {
	client  *http.Client
	allowed func(netip.Addr) bool
	slots   *slots
}

var errNotPublic = errors.New("the address is not public")

func newRemote() *remote {
	r := &remote{allowed: public, slots: newSlots(maxFetches, 0)}
	dialer := &net.Dialer{
		Timeout: fetchConnect,
		Control: func(_, address string, _ syscall.RawConn) error {
			ip, err := netip.ParseAddrPort(address)
			if err != nil || !r.allowed(ip.Addr().Unmap()) {
				return errNotPublic
			}
			return nil
		},
	}
	r.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // a proxy would connect for us, without the check
			DialContext:            dialer.DialContext,
			DisableKeepAlives:      true,
			DisableCompression:     true, // pictures are compressed already; a hostile body could expand without end
			MaxResponseHeaderBytes: fetchHeaderBytes,
			TLSHandshakeTimeout:    fetchConnect,
			ResponseHeaderTimeout:  fetchAnswer,
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

// notPublic are the blocks of addresses that are not public and for which netip has no method: shared address space,
// protocol assignments, documentation, benchmarks, reserved blocks, and IPv6 blocks that contain an IPv4 address.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"), netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("fec0::/10"),
}

// public says whether ip is an address on the public internet.
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

// errTooSlow is the cause with which a fetch's context ends if the fetched server sends too slowly.
var errTooSlow = errors.New("the server sends too slowly")

// fetch returns the file at address. Its bytes count in the lease held of the client's request.
func (r *remote) fetch(
	ctx context.Context, l limits, field string, address *url.URL, held *lease,
) (data chunks, err error) {
	if !r.slots.take(ctx, held.client, l.fetchQueue) {
		if ctx.Err() != nil {
			return data, context.Cause(ctx)
		}
		return data, &apiError{
			status: http.StatusServiceUnavailable, detail: field + ": too many pictures are being fetched",
			retryAfter: 10 * time.Second,
		}
	}
	defer r.slots.release(held.client)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	whole := time.AfterFunc(l.fetch, func() { cancel(errTooSlow) })
	defer whole.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return data, invalid(field, "%s", err)
	}
	request.Header.Set("User-Agent", "Kleinbild")
	response, err := r.client.Do(request)
	if err != nil {
		if errors.Is(err, errNotPublic) {
			return data, invalid(field, "%s, want one on the public internet", errNotPublic)
		}
		return data, fetchError(ctx, field, "cannot be fetched")
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return data, invalid(field, "cannot be fetched: status %d", response.StatusCode)
	}
	body := &fetching{ctx: ctx, body: response.Body, limits: l, lease: held, pace: newPace(l.stall, 0)}
	body.timer = time.AfterFunc(l.stall, func() { cancel(errTooSlow) })
	defer body.timer.Stop()
	limit := int64(min(fetchBytes, picture.MaxFileBytes))
	n, err := data.ReadFrom(io.LimitReader(body, limit+1))
	var own *apiError
	switch {
	case errors.As(err, &own):
		return data, own
	case err != nil:
		return data, fetchError(ctx, field, "cannot be fetched whole")
	case n > limit:
		return data, errorf(http.StatusRequestEntityTooLarge, "%s: more than %d bytes, want at most that", field, limit)
	}
	return data, nil
}

// fetchError returns the error of a fetch that failed under ctx. text says what failed.
func fetchError(ctx context.Context, field, text string) error {
	switch cause := context.Cause(ctx); {
	case cause == errTooSlow:
		return invalid(field, "%s: %s", text, errTooSlow)
	case cause != nil:
		return cause
	}
	return invalid(field, "%s", text)
}

// fetching reads the body of a fetched file and counts its bytes in the lease. timer ends the fetch if they come too
// slowly.
type fetching struct {
	ctx    context.Context
	body   io.Reader
	limits limits
	lease  *lease
	pace   *pace
	timer  *time.Timer
}

func (f *fetching) Read(p []byte) (int, error) {
	stall, rate := f.limits.stall, f.limits.rate
	if f.lease.m.hurried(f.lease) {
		stall, rate = f.limits.hurried, f.limits.hurriedRate
	}
	f.timer.Reset(time.Until(f.pace.moved(0, rate, stall)))
	n, err := f.body.Read(p)
	f.timer.Stop()
	f.pace.moved(n, rate, stall)
	if n > 0 {
		before := time.Now()
		if err := f.lease.take(f.ctx, int64(n), f.limits.memory); err != nil {
			if context.Cause(f.ctx) == errTooSlow {
				err = errMemory() // the time for the fetch passed while it waited for memory
			}
			return 0, err
		}
		f.pace.excuse(time.Since(before))
	}
	return n, err
}
