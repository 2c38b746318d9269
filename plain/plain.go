// Package plain replaces the error texts of the operating system and of libraries by texts that tell a user what to do.
// The window and the command line both use it, so that they show the same texts.
package plain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Text returns err's text with the parts that come from the system and from known libraries replaced. The text that
// this project's packages have put around them stays. For nil it returns "".
func Text(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	walk(err, func(e error) bool {
		replacement, known := plainText(e)
		if known {
			text = strings.ReplaceAll(text, e.Error(), replacement)
			if path, ok := e.(*fs.PathError); ok && path.Path != "" { // a wrapping error often contains the path too
				text = strings.ReplaceAll(text, path.Path+": "+path.Path, path.Path)
			}
		}
		return !known
	})
	return text
}

// walk calls visit for err and for the errors that it wraps, the outer ones first. If visit returns false for an error,
// walk skips the errors inside it.
func walk(err error, visit func(error) bool) {
	if err == nil || !visit(err) {
		return
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		walk(e.Unwrap(), visit)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			walk(inner, visit)
		}
	}
}

// plainText returns the replacement for the text of one error of the chain. known is false if there is none.
func plainText(err error) (text string, known bool) {
	switch e := err.(type) {
	case *fs.PathError:
		return fileText(e.Path, e.Err, e.Op == "mkdir")
	case *os.LinkError:
		return fileText(e.New, e.Err, false)
	case *os.SyscallError:
		return fileText("", e.Err, false)
	case syscall.Errno:
		return fileText("", e, false)
	case *url.Error:
		return networkText(e.URL, e.Err)
	case *net.OpError:
		if e.Op == "dial" {
			return networkText("", e)
		}
	case *net.DNSError:
		return networkText("", e)
	case *exec.Error:
		return fmt.Sprintf("the program %s is not installed: install it, then try again", e.Name), true
	case *json.SyntaxError, *json.UnmarshalTypeError:
		return "the file is damaged", true
	case png.FormatError, jpeg.FormatError:
		return damaged, true
	case png.UnsupportedError, jpeg.UnsupportedError:
		return "the picture is of an unsupported kind: save it as another PNG or JPEG first", true
	}
	switch err {
	case image.ErrFormat:
		return "the file is not a picture in a supported format", true
	case io.ErrUnexpectedEOF:
		return "the file is cut off: get or save it again", true
	case context.DeadlineExceeded:
		return "there was no answer in time: try again", true
	case fs.ErrNotExist, fs.ErrPermission, fs.ErrExist:
		return fileText("", err, false)
	}
	return "", false
}

const damaged = "the picture is damaged: get or save it again"

// fileText returns the text for err, an error of the file system. path is "" if err does not know its file; the text
// then says "the file". mkdir is true if err comes from making the folder path.
func fileText(path string, err error, mkdir bool) (text string, known bool) {
	name := path
	if name == "" {
		name = "the file"
	}
	errno, _ := errors.AsType[syscall.Errno](err)
	switch {
	case Full(err):
		return "the disk is full: free some space, then try again", true
	case errno == syscall.EFBIG:
		return fmt.Sprintf("%s is too large for this disk, or for what you may write: choose another folder", name), true
	case readOnly(errno):
		return fmt.Sprintf("the system does not allow writing to %s: choose another folder", filepath.Dir(path)), true
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("the system does not allow access to %s: choose another place, or change who may use it",
			name), true
	case errno == syscall.ENOTDIR && mkdir:
		return fmt.Sprintf("%s is a file, not a folder: choose another folder", name), true
	case errno == syscall.ENOTDIR:
		return fmt.Sprintf("a part of the path of %s is a file, not a folder: choose another folder", name), true
	case errno == syscall.EISDIR:
		return fmt.Sprintf("%s is a folder, not a file: choose a file", name), true
	case tooLong(errno):
		if path != "" {
			name = "the name " + shortened(filepath.Base(path))
		}
		name = strings.Replace(name, "the file", "the name", 1)
		return fmt.Sprintf("%s is too long for this disk: choose a shorter one", name), true
	case badName(errno):
		return fmt.Sprintf("%s has a name that this disk does not allow: choose another one", name), true
	case inUse(errno):
		return fmt.Sprintf("another program uses %s: close it there, then try again", name), true
	case errno == syscall.ELOOP:
		return fmt.Sprintf("the links at %s lead in a circle: choose the file itself", name), true
	case errno == syscall.EMFILE || errno == syscall.ENFILE:
		return "too many files are open: close other programs, then try again", true
	case errno == syscall.EIO:
		return fmt.Sprintf("the disk of %s reports a fault: copy your files from it, and choose another one", name), true
	case errors.Is(err, fs.ErrExist):
		return fmt.Sprintf("%s is there already: choose another name", name), true
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Sprintf("%s is not there", name), true
	}
	return "", false
}

// shortened returns name, or its first 40 characters and an ellipsis if it is longer.
func shortened(name string) string {
	const most = 40
	if r := []rune(name); len(r) > most {
		return string(r[:most]) + "…"
	}
	return name
}

// networkText returns the text for err, an error of the network. address is the URL that was requested, or "". known is
// false for context.Canceled, because the user stopped the request.
func networkText(address string, err error) (text string, known bool) {
	host := "the server"
	if u, parsed := url.Parse(address); parsed == nil && u.Host != "" {
		host = u.Host
	}
	if errors.Is(err, context.Canceled) {
		return "", false
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok && host == "the server" {
		host = dns.Name
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return fmt.Sprintf("%s does not answer in time: try again later", host), true
	}
	return fmt.Sprintf("%s cannot be reached: look at the network connection, then try again", host), true
}
