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

// blockBytes is read at a time, and between two looks at whether the user has had enough.
const blockBytes = 256 << 10

// download is a model on its way.
type download struct {
	hub      *hub
	root     *os.Root // the folder that it comes to
	patience patience
	track    *tracker
	write    func(f *os.File, b []byte) (int, error)
}

// place is the file's path in the root.
func (w wanted) place() string { return filepath.FromSlash(w.to) }

// storage says what is still to come beside what the disk says.
func (d *download) storage(err error) error {
	return permanent{&StorageError{filepath.Dir(d.root.Name()), d.track.left(), err}} // a full disk stays full
}

// permanent marks an error that another attempt would meet again.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// isPermanent also knows those of the hub's replies that will not change.
func isPermanent(err error) bool {
	var marked permanent
	var access *AccessError
	var status *statusError
	if errors.As(err, &status) {
		return status.status < 500 && status.status != http.StatusTooManyRequests && status.status != http.StatusRequestTimeout
	}
	return errors.As(err, &marked) || errors.As(err, &access)
}

// insist tries until it works, the error is permanent, the attempts are used up, or ctx ends. An attempt that brought
// something starts the count again. note is told why there is another attempt.
func (p patience) insist(ctx context.Context, note func(string), try func() (progressed bool, err error)) error {
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
		wait := delay + rand.N(delay/4+1) // not all files at the same moment
		var status *statusError
		if errors.As(err, &status) && status.retryAfter > 0 {
			wait = min(status.retryAfter, 10*p.most)
		}
		delay = min(2*delay, p.most)
		note(err.Error())
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// file downloads one file to NAME.part and gives it its name when its digest is the hub's.
func (d *download) file(ctx context.Context, f wanted) error {
	path := f.place()
	if info, err := d.root.Lstat(path); err == nil && info.Size() == f.SizeBytes {
		return nil // verified by the call that gave it its name
	}
	if err := d.root.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return d.storage(err)
	}
	p, err := d.openPart(ctx, path+".part", f)
	if err != nil {
		return err
	}
	err = d.patience.insist(ctx, func(problem string) { d.track.problem(f.to + ": " + problem) }, func() (bool, error) {
		before := p.size
		err := d.attempt(ctx, p)
		return p.size > before, err
	})
	if err = errors.Join(err, p.file.Close()); err != nil {
		return fmt.Errorf("%s: %w", f.to, err)
	}
	return d.root.Rename(path+".part", path)
}

// part is a file that is not complete yet.
type part struct {
	wanted
	file       *os.File
	size       int64
	hash       hash.Hash // of its size bytes
	mismatches int
	d          *download
}

// openPart opens what an earlier call left, or an empty file.
func (d *download) openPart(ctx context.Context, path string, f wanted) (*part, error) {
	file, err := d.root.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, d.storage(err)
	}
	p := &part{wanted: f, file: file, hash: f.newHash(), d: d}
	for p.size <= f.SizeBytes && err == nil { // no more than one byte too many: what lies there may be of any size
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
		d.track.add(p.size) // it was not counted, and restart takes it away
		if err := p.restart(); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	return p, nil
}

// restart forgets what has come.
func (p *part) restart() error {
	p.d.track.add(-p.size)
	p.size, p.hash = 0, p.newHash()
	if err := p.file.Truncate(0); err != nil {
		return permanent{err}
	}
	_, err := p.file.Seek(0, io.SeekStart)
	return err
}

// Write appends to the file, the digest and the count.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.d.write(p.file, b)
	p.hash.Write(b[:n])
	p.size += int64(n)
	p.d.track.add(int64(n))
	if err != nil {
		err = p.d.storage(err)
	}
	return n, err
}

// errStalled is the cause of a read that was given up.
var errStalled = errors.New("nothing came for too long")

// attempt asks for what is missing of the file and checks the whole.
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
			return permanent{fmt.Errorf("what comes is not the file that was announced: %w", err)}
		}
		return err
	}
	if err := p.file.Sync(); err != nil {
		return d.storage(err)
	}
	return nil
}

func (d *download) fetch(ctx context.Context, p *part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(d.patience.stall, func() { cancel(errStalled) })
	defer watch.Stop()
	response, err := d.hub.get(ctx, p.repository, d.hub.url(p.repository, p.commit, p.Path), p.size)
	if err != nil {
		var status *statusError
		if errors.As(err, &status) && status.status == http.StatusRequestedRangeNotSatisfiable {
			return errors.Join(errors.New("the server has less than was announced"), p.restart())
		}
		return causeOf(ctx, err)
	}
	defer response.Body.Close()
	if err := p.checkReply(response); err != nil {
		return err
	}
	body := io.LimitReader(&watched{response.Body, watch, d.patience.stall}, p.SizeBytes-p.size+1)
	if _, err := io.CopyBuffer(struct{ io.Writer }{p}, body, make([]byte, blockBytes)); err != nil {
		return causeOf(ctx, err)
	}
	switch {
	case p.size < p.SizeBytes:
		return fmt.Errorf("the connection ended after %d of %d bytes", p.size, p.SizeBytes)
	case p.size > p.SizeBytes:
		return errors.Join(fmt.Errorf("more than the announced %d bytes", p.SizeBytes), p.restart())
	}
	return nil
}

// checkReply makes sure that what comes belongs behind what is there.
func (p *part) checkReply(response *http.Response) error {
	if response.StatusCode == http.StatusOK && p.size > 0 { // a server that knows no ranges sends all
		if err := p.restart(); err != nil {
			return err
		}
	}
	if response.StatusCode == http.StatusPartialContent {
		want := fmt.Sprintf("bytes %d-%d/%d", p.size, p.SizeBytes-1, p.SizeBytes)
		if have := response.Header.Get("Content-Range"); have != want {
			return errors.Join(fmt.Errorf("the server sends %q, want %q", have, want), p.restart())
		}
	}
	if have, want := response.ContentLength, p.SizeBytes-p.size; have >= 0 && have != want {
		return fmt.Errorf("the server announces %d bytes, want %d", have, want)
	}
	return nil
}

// causeOf tells a stalled connection from one that was closed.
func causeOf(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// watched puts the alarm off with every read.
type watched struct {
	io.Reader
	alarm *time.Timer
	after time.Duration
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.alarm.Reset(w.after)
	return n, err
}
