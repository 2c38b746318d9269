package models

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// blockBytes is the size of a read. The context is checked after each.
const blockBytes = 256 << 10

// download is the state of one Get.
type download struct {
	hub      *hub
	root     *os.Root // the folder of the files, NAME.part
	patience patience
	track    *tracker
	write    func(f *os.File, b []byte) (int, error)
}

// localPath returns the file's path in the model's folder, with the system's separators.
func (w wanted) localPath() string { return filepath.FromSlash(w.to) }

// storageError returns a permanent *StorageError that wraps err.
func (d *download) storageError(err error) error {
	return permanent{&StorageError{filepath.Dir(d.root.Name()), d.track.left(), err}}
}

// permanent marks an error that would occur again in another attempt.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// isPermanent reports whether err is marked as permanent, refuses access, or is a status of the hub that another
// attempt would not change: one below 500 other than 408 and 429.
func isPermanent(err error) bool {
	var marked permanent
	var access *AccessError
	var status *statusError
	if errors.As(err, &status) {
		return status.status < 500 && status.status != http.StatusTooManyRequests &&
			status.status != http.StatusRequestTimeout
	}
	return errors.As(err, &marked) || errors.As(err, &access)
}

// retry calls try until it returns nil or a permanent error, p.attempts calls in a row have brought no bytes, or ctx
// ends. It waits between two calls. Before each wait it calls report with the error's text.
func (p patience) retry(ctx context.Context, report func(string), try func() (progressed bool, err error)) error {
	delay := p.first
	for failed := 0; ; {
		progressed, err := try()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if isPermanent(err) {
			return err
		}
		if progressed {
			failed, delay = 0, p.first
		}
		if failed++; failed >= p.attempts {
			return fmt.Errorf("given up after %d attempts: %w", failed, err)
		}
		wait := delay + rand.N(delay/4+1) // a random part, so that not all files ask at the same moment
		var status *statusError
		if errors.As(err, &status) && status.retryAfter > 0 {
			wait = min(status.retryAfter, 10*p.most)
		}
		delay = min(2*delay, p.most)
		report(err.Error())
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// file downloads f to PATH.part, checks its digest and renames it to PATH. A file that is complete is not downloaded.
func (d *download) file(ctx context.Context, f wanted) error {
	path := f.localPath()
	if info, err := d.root.Lstat(path); err == nil && info.Size() == f.SizeBytes {
		return nil // verified before it was renamed to path
	}
	if err := d.root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return d.storageError(err)
	}
	p, err := d.openPart(ctx, path+".part", f)
	if err != nil {
		return err
	}
	report := func(problem string) { d.track.problem(f.to + ": " + problem) }
	err = d.patience.retry(ctx, report, func() (bool, error) {
		before := p.size
		err := d.attempt(ctx, p)
		return p.size > before, err
	})
	if err = errors.Join(err, p.file.Close()); err != nil {
		return fmt.Errorf("%s: %w", f.to, err)
	}
	return d.root.Rename(path+".part", path)
}

// part is an incomplete file.
type part struct {
	wanted
	file       *os.File
	size       int64     // bytes downloaded
	hash       hash.Hash // of these bytes
	mismatches int       // how often the complete file had the wrong digest
	d          *download
}

// openPart opens the file at path, which an earlier call may have left, and hashes its bytes.
func (d *download) openPart(ctx context.Context, path string, f wanted) (*part, error) {
	file, err := d.root.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, d.storageError(err)
	}
	p := &part{wanted: f, file: file, hash: f.newHash(), d: d}
	for p.size <= f.SizeBytes && err == nil { // read at most one byte too many: the file may have any size
		var n int64
		n, err = io.CopyN(p.hash, file, min(blockBytes, f.SizeBytes+1-p.size))
		p.size += n
		if err == nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
	}
	if err != nil && err != io.EOF {
		return nil, errors.Join(err, file.Close())
	}
	if p.size > f.SizeBytes {
		d.track.add(p.size) // countBytes left out a file that is too large, and restart subtracts its size
		if err := p.restart(); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return p, nil
}

// restart empties the file, so that it is downloaded from its beginning.
func (p *part) restart() error {
	p.d.track.add(-p.size)
	p.size, p.hash = 0, p.newHash()
	if err := p.file.Truncate(0); err != nil {
		return permanent{err}
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

// Write appends b to the file, hashes it and counts it.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.d.write(p.file, b)
	p.hash.Write(b[:n])
	p.size += int64(n)
	p.d.track.add(int64(n))
	if err != nil {
		err = p.d.storageError(err)
	}
	return n, err
}

// errStalled is the cancellation cause of a request that has sent no bytes for patience.stall.
var errStalled = errors.New("the server sent nothing for too long")

// attempt downloads the missing bytes of a file once and checks the digest of the complete file.
func (d *download) attempt(ctx context.Context, p *part) error {
	if p.size < p.SizeBytes {
		if err := d.fetch(ctx, p); err != nil {
			return err
		}
	}
	if err := p.match(p.hash); err != nil {
		p.mismatches++
		if err := p.restart(); err != nil {
			return err
		}
		if p.mismatches == 2 {
			return permanent{fmt.Errorf("the server sends another file than it lists: %w", err)}
		}
		return err
	}
	if err := p.file.Sync(); err != nil {
		return d.storageError(err)
	}
	return nil
}

// fetch requests the bytes from p.size on and appends them to the file. The error is errStalled if the server sends
// nothing for patience.stall.
func (d *download) fetch(ctx context.Context, p *part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(d.patience.stall, func() { cancel(errStalled) })
	defer timer.Stop()
	response, err := d.hub.get(ctx, p.repository, d.hub.url(p.wanted), p.size)
	if err != nil {
		var status *statusError
		if errors.As(err, &status) && status.status == http.StatusRequestedRangeNotSatisfiable {
			return errors.Join(errors.New("the server's file is smaller than it lists"), p.restart())
		}
		return causeOf(ctx, err)
	}
	defer response.Body.Close()
	if err := p.checkReply(response); err != nil {
		return err
	}
	body := io.LimitReader(&watched{response.Body, timer, d.patience.stall}, p.SizeBytes-p.size+1)
	if _, err := io.CopyBuffer(struct{ io.Writer }{p}, body, make([]byte, blockBytes)); err != nil {
		return causeOf(ctx, err)
	}
	switch {
	case p.size < p.SizeBytes:
		return fmt.Errorf("the connection ended after %d of %d bytes", p.size, p.SizeBytes)
	case p.size > p.SizeBytes:
		return errors.Join(fmt.Errorf("the server sends more than the %d bytes that it lists", p.SizeBytes), p.restart())
	}
	return nil
}

// checkReply checks that the body of a reply continues the file at p.size. If the server sends the whole file,
// checkReply restarts the part.
func (p *part) checkReply(response *http.Response) error {
	if response.StatusCode == http.StatusOK && p.size > 0 { // the server does not support ranges
		if err := p.restart(); err != nil {
			return err
		}
	}
	if response.StatusCode == http.StatusPartialContent {
		want := fmt.Sprintf("bytes %d-%d/%d", p.size, p.SizeBytes-1, p.SizeBytes)
		if got := response.Header.Get("Content-Range"); got != want {
			return errors.Join(fmt.Errorf("the server sends %q, want %q", got, want), p.restart())
		}
	}
	if got, want := response.ContentLength, p.SizeBytes-p.size; got >= 0 && got != want {
		return fmt.Errorf("the server announces %d bytes, want %d", got, want)
	}
	return nil
}

// causeOf returns errStalled if that ended ctx, and err otherwise.
func causeOf(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// watched is a reader that resets the timer after each read.
type watched struct {
	io.Reader
	timer *time.Timer
	stall time.Duration
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.timer.Reset(w.stall)
	return n, err
}
