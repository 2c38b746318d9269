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

	"kleinbild/inference/checkpoint"
)

// DefaultBaseURL is where models come from unless Options say otherwise.
const DefaultBaseURL = "https://huggingface.co"

// hub speaks Hugging Face's public interface.
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

// checkRedirect keeps the token for the address that the user named: another scheme, host or port, where the files may
// lie, does not get it. net/http by itself sends it to all ports and subdomains of a host. A way that began encrypted
// stays so.
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

// remoteFile is a file of a repository. One of the two digests is known: large files have the first.
type remoteFile struct {
	Path      string `json:"path"`
	SizeBytes int64  `json:"size"`
	SHA256    string `json:"sha256,omitempty"`
	GitSHA1   string `json:"git_sha1,omitempty"` // of "blob SIZE\x00" and the content
}

// statusError is a reply that is no success.
type statusError struct {
	status     int
	where      string
	retryAfter time.Duration
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s: status %d %s", e.where, e.status, http.StatusText(e.status))
}

// AccessError says that the hub does not give a repository to this user.
type AccessError struct {
	Repository string
	URL        string // where to ask for access
	HadToken   bool
}

func (e *AccessError) Error() string {
	if e.HadToken {
		return fmt.Sprintf("%s: access refused; agree to its licence at %s with the account that the token in HF_TOKEN belongs to", e.Repository, e.URL)
	}
	return fmt.Sprintf("%s: access refused; agree to its licence at %s, make a token there and set HF_TOKEN to it", e.Repository, e.URL)
}

// get asks for address, from offset on where that is not 0. Anything but 200 and 206 is an error.
func (h *hub) get(ctx context.Context, repository, address string, offset int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "kleinbild")
	request.Header.Set("Accept-Encoding", "identity") // sizes and offsets are those of the file
	if h.token != "" {
		request.Header.Set("Authorization", "Bearer "+h.token)
	}
	if offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	response, err := h.client.Do(request)
	if err != nil {
		return nil, err
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusPartialContent:
		return response, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		response.Body.Close()
		return nil, &AccessError{Repository: repository, URL: h.base.JoinPath(repository).String(), HadToken: h.token != ""}
	}
	response.Body.Close()
	return nil, &statusError{response.StatusCode, address, retryAfter(response.Header.Get("Retry-After"))}
}

// retryAfter reads seconds or a date; 0 where there is neither.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// list returns the commit that the repository's main branch is at, and the files of it.
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
		return "", nil, permanent{fmt.Errorf("%s: more than %d bytes, want the description of a repository", address, maxListBytes)}
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

// siblings reads the list of a repository's files, one after the other: a list of nothing at all would else fill the memory.
func siblings(text json.RawMessage) (files []remoteFile, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("no list of files")
	}
	for dec.More() {
		if len(files) == maxListed {
			return nil, permanent{fmt.Errorf("more than %d files", maxListed)}
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

// url is where a file of a commit lies.
func (h *hub) url(repository, commit, file string) string {
	return h.base.JoinPath(repository, "resolve", commit, file).String()
}

// choose returns the files of a listing that the patterns select, each with its place in the model's folder.
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
				return nil, fmt.Errorf("%s: more than %d files of the kinds that a model has", s.repository, maxFiles)
			}
		}
		if !found {
			return nil, fmt.Errorf("%s: holds no %s", s.repository, p.path)
		}
	}
	return chosen, nil
}

// wanted is a file to download.
type wanted struct {
	remoteFile
	to         string // path in the model's folder, with slashes
	repository string
	commit     string
}

// check refuses what a listing must not say: the file is written to disk under this name and compared with this digest.
func (w wanted) check() error {
	switch {
	case !validPath(w.to) || strings.EqualFold(w.to, manifestName):
		return fmt.Errorf("file %.200q, want a plain relative path", w.to)
	case w.SizeBytes < 0 || w.SizeBytes > maxFileBytes:
		return fmt.Errorf("%s: %d bytes, want 0 to %d", w.to, w.SizeBytes, int64(maxFileBytes))
	case w.SHA256 != "" && !isHex(w.SHA256, sha256.Size), w.SHA256 == "" && !isHex(w.GitSHA1, sha1.Size):
		return errors.New(w.to + ": comes without a digest")
	}
	return nil
}

// isHex says whether text is a digest of so many bytes.
func isHex(text string, bytes int) bool {
	_, err := hex.DecodeString(text)
	return err == nil && len(text) == 2*bytes
}

// validPath takes names that mean the same on every system.
func validPath(p string) bool {
	for part := range strings.SplitSeq(p, "/") {
		if !checkpoint.PlainName(part) || strings.HasSuffix(strings.ToLower(part), ".part") {
			return false
		}
	}
	return len(p) <= maxPathBytes
}

// checkAll refuses lists whose files would overwrite each other, as two names do that differ in their case on the disks of
// Windows and macOS, or that are too many.
func checkAll(files []wanted) error {
	if len(files) > maxFiles {
		return fmt.Errorf("%d files, want at most %d", len(files), maxFiles)
	}
	taken := map[string]bool{}
	for _, f := range files {
		name := strings.ToLower(f.to)
		if taken[name] {
			return fmt.Errorf("%s: is there twice", f.to)
		}
		taken[name] = true
	}
	for _, f := range files {
		for dir := path.Dir(strings.ToLower(f.to)); dir != "."; dir = path.Dir(dir) {
			if taken[dir] {
				return fmt.Errorf("%s: is a file and a folder", dir)
			}
		}
	}
	return nil
}
