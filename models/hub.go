package models

import (
	"bytes"
	"context"
	"crypto/sha1" // git's
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
)

// DefaultBaseURL is the server that models are downloaded from if Options.BaseURL is empty.
const DefaultBaseURL = "https://huggingface.co"

// hub is a client for the HTTP API of Hugging Face.
type hub struct {
	base   *url.URL
	token  string
	client *http.Client
}

func newHub(base, token string) (*hub, error) {
	if base == "" {
		base = DefaultBaseURL
	}
	address, err := url.Parse(base)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" {
		return nil, fmt.Errorf("base URL %q, want one like %s", base, DefaultBaseURL)
	}
	if ip := net.ParseIP(address.Hostname()); token != "" && address.Scheme == "http" && !ip.IsLoopback() {
		return nil, fmt.Errorf("base URL %s: a token is sent over https only", base)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 30 * time.Second
	return &hub{address, token, &http.Client{Transport: transport, CheckRedirect: checkRedirect}}, nil
}

// checkRedirect removes the token from redirected requests whose scheme, host or port is not that of the first request:
// large files are on other servers. net/http alone would send the token to all ports and subdomains of the first host.
// It returns an error for a redirect from https to another scheme, and for the tenth redirect.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case len(via) >= maxRedirects:
		return permanent{fmt.Errorf("%s: found %d redirects, want fewer", first, len(via))}
	case first.Scheme == "https" && next.URL.Scheme != "https":
		return permanent{fmt.Errorf("%s: found a redirect to %s://%s, want https", first, next.URL.Scheme, next.URL.Host)}
	case next.URL.Scheme != first.Scheme || next.URL.Host != first.Host:
		next.Header.Del("Authorization")
	}
	return nil
}

// remoteFile is a file of a repository. It has one of the two digests: large files (git LFS) have SHA256.
type remoteFile struct {
	Path      string `json:"path"`
	SizeBytes int64  `json:"size"`
	SHA256    string `json:"sha256,omitempty"`
	GitSHA1   string `json:"git_sha1,omitempty"` // the SHA-1 of "blob SIZE\x00" followed by the content
}

// statusError is the error for an HTTP status other than 200, 206, 401 and 403.
type statusError struct {
	status     int
	where      string
	retryAfter time.Duration
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: status %d %s", e.where, e.status, http.StatusText(e.status))
}

// AccessError is the error if the hub refuses access to a repository (status 401 or 403).
type AccessError struct {
	Repository string
	URL        string // the repository's page, where the user can ask for access
	HadToken   bool   // the request had a token
}

func (e *AccessError) Error() string {
	if e.HadToken {
		return fmt.Sprintf("%s: access refused; agree to its licence at %s with the account that the token in HF_TOKEN "+
			"belongs to", e.Repository, e.URL)
	}
	return fmt.Sprintf("%s: access refused; agree to its licence at %s, make a token there and set HF_TOKEN to it",
		e.Repository, e.URL)
}

// get requests address, or its bytes from offset on. Statuses other than 200 and 206 are errors: an *AccessError or a
// *statusError.
func (h *hub) get(ctx context.Context, repository, address string, offset int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "kleinbild")
	request.Header.Set("Accept-Encoding", "identity") // so that sizes and offsets are those of the file
	ofHub := request.URL.Scheme == h.base.Scheme && request.URL.Host == h.base.Host
	if h.token != "" && ofHub { // releases are on other servers
		request.Header.Set("Authorization", "Bearer "+h.token)
	}
	if offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	response, err := h.client.Do(request)
	if err != nil {
		return nil, err
	}
	switch status := response.StatusCode; {
	case status == http.StatusOK, status == http.StatusPartialContent:
		return response, nil
	case ofHub && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		response.Body.Close()
		page := h.base.JoinPath(repository).String()
		return nil, &AccessError{Repository: repository, URL: page, HadToken: h.token != ""}
	}
	response.Body.Close()
	return nil, &statusError{response.StatusCode, address, retryAfter(response.Header.Get("Retry-After"))}
}

// retryAfter parses the header Retry-After, a number of seconds or a date. It returns 0 if text is neither.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// list returns the latest commit of the repository's main branch and the commit's files.
func (h *hub) list(ctx context.Context, repository string) (commit string, files []remoteFile, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	address := h.base.JoinPath("api", "models", repository, "revision", "main").String() + "?blobs=true"
	response, err := h.get(ctx, repository, address, 0)
	if err != nil {
		return "", nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxListBytes+1))
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", address, err)
	}
	if len(text) > maxListBytes {
		return "", nil, permanent{fmt.Errorf("%s: found more than %d bytes, want the description of a repository",
			address, maxListBytes)}
	}
	var reply struct {
		SHA      string          `json:"sha"`
		Siblings json.RawMessage `json:"siblings"`
	}
	if err := json.Unmarshal(text, &reply); err != nil {
		return "", nil, fmt.Errorf("%s: want the description of a repository: %w", address, err)
	}
	if !isHex(reply.SHA, sha1.Size) {
		return "", nil, permanent{fmt.Errorf("%s: commit %.60q, want its digest", address, reply.SHA)}
	}
	if files, err = siblings(reply.Siblings); err != nil {
		return "", nil, fmt.Errorf("%s: want the description of a repository: %w", address, err)
	}
	return reply.SHA, files, nil
}

// siblings parses the list of a repository's files. It parses them one by one, so that a list of many empty objects
// does not fill the memory.
func siblings(text json.RawMessage) (files []remoteFile, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("found no list of files")
	}
	for dec.More() {
		if len(files) == maxListed {
			return nil, permanent{fmt.Errorf("found more than %d files", maxListed)}
		}
		var s struct {
			Name   string `json:"rfilename"`
			Size   int64  `json:"size"`
			BlobID string `json:"blobId"`
			LFS    *struct {
				SHA256 string `json:"sha256"`
				Size   int64  `json:"size"`
			} `json:"lfs"`
		}
		if err := dec.Decode(&s); err != nil {
			return nil, err
		}
		f := remoteFile{Path: s.Name, SizeBytes: s.Size, GitSHA1: s.BlobID}
		if s.LFS != nil {
			f = remoteFile{Path: s.Name, SizeBytes: s.LFS.Size, SHA256: s.LFS.SHA256}
		}
		files = append(files, f)
	}
	return files, nil
}

// url returns the address of a file.
func (h *hub) url(f wanted) string {
	if f.address != "" {
		return f.address
	}
	return h.base.JoinPath(f.repository, "resolve", f.commit, f.Path).String()
}

// choose returns the files that the source's patterns select, with their paths in the model's folder. Each pattern must
// select at least one.
func (s source) choose(files []remoteFile) (chosen []wanted, err error) {
	for _, p := range s.files {
		found := false
		for _, f := range files {
			if ok, _ := path.Match(p.path, f.Path); !ok {
				continue
			}
			found = true
			w := wanted{remoteFile: f, to: f.Path}
			if p.to != "" {
				w.to = p.to
			}
			if err := w.check(); err != nil {
				return nil, fmt.Errorf("%s: %w", s.repository, err)
			}
			if chosen = append(chosen, w); len(chosen) > maxFiles {
				return nil, fmt.Errorf("%s: found more than %d files that match", s.repository, maxFiles)
			}
		}
		if !found {
			return nil, fmt.Errorf("%s: found no file %s", s.repository, p.path)
		}
	}
	return chosen, nil
}

// wanted is a file to download.
type wanted struct {
	remoteFile
	to         string // the path in the model's folder, with slashes
	repository string
	commit     string
	address    string // "" for a file of the hub
}

// check returns an error if the file's path, size or digest is invalid. The hub's list is not trusted: the file is
// written to that path and compared with that digest.
func (w wanted) check() error {
	switch {
	case !validPath(w.to) || strings.EqualFold(w.to, manifestName):
		return fmt.Errorf("found the file %.200q, want a plain relative path", w.to)
	case w.SizeBytes < 0 || w.SizeBytes > maxFileBytes:
		return fmt.Errorf("%s: found %d bytes, want 0 to %d", w.to, w.SizeBytes, int64(maxFileBytes))
	case w.SHA256 != "" && !isHex(w.SHA256, sha256.Size), w.SHA256 == "" && !isHex(w.GitSHA1, sha1.Size):
		return errors.New(w.to + ": found no valid digest")
	}
	return nil
}

// isHex reports whether text is a hexadecimal number of the given number of bytes.
func isHex(text string, bytes int) bool {
	_, err := hex.DecodeString(text)
	return err == nil && len(text) == 2*bytes
}

// validPath reports whether p is a relative path with slashes whose names are safe on every system, and do not end in
// .part.
func validPath(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if !checkpoint.PlainName(part) || strings.HasSuffix(strings.ToLower(part), ".part") {
			return false
		}
	}
	return len(p) <= maxPathBytes
}

// checkAll returns an error for too many files, and for files that would overwrite each other. Names that differ only
// in case are one name on the disks of Windows and macOS.
func checkAll(files []wanted) error {
	if len(files) > maxFiles {
		return fmt.Errorf("found %d files, want at most %d", len(files), maxFiles)
	}
	names := map[string]bool{}
	for _, f := range files {
		name := strings.ToLower(f.to)
		if names[name] {
			return fmt.Errorf("%s: is listed twice", f.to)
		}
		names[name] = true
	}
	for _, f := range files {
		for dir := path.Dir(strings.ToLower(f.to)); dir != "."; dir = path.Dir(dir) {
			if names[dir] {
				return fmt.Errorf("%s: is listed as a file and as a folder", dir)
			}
		}
	}
	return nil
}
