package app

import (
	"fmt"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// What the user is told about a dropped or pasted item that is no file of this computer.
const (
	onTheWeb      = "That is an address on the web: save the picture as a file first, then drop the file."
	damagedItem   = "What was dropped has a damaged address: drop the file from the file manager."
	otherProgram  = "That is an address of another program's (%s): save the picture as a file first, then drop the file."
	otherComputer = "%s lies on another computer: copy it to this one first, then drop the copy."
)

// scheme begins an address. A single letter is a drive of Windows.
var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+:`)

// localFile returns the path of the file that item names, or a sentence that says why item names no file of this
// computer. item is an address or a path, as file managers and browsers hand them over. localFile looks only at the
// text, not at the disk: on Windows, even the question whether a file of another computer exists would log in there.
// host is this computer's name, which some programs put into addresses of its own files.
func localFile(item, host string, windows bool) (local, refusal string) {
	if strings.ContainsRune(item, 0) {
		return "", damagedItem
	}
	switch found := strings.ToLower(strings.TrimSuffix(scheme.FindString(item), ":")); found {
	case "":
		return localPath(item, windows)
	case "file":
		return fileAddress(item[len("file:"):], host, windows)
	case "http", "https", "ftp", "data", "blob":
		return "", onTheWeb
	default:
		return "", fmt.Sprintf(otherProgram, shorten(found, 20))
	}
}

// fileAddress reads what follows "file:". File managers escape what could be misread, so a plain ? or # is part of the
// name.
func fileAddress(rest, host string, windows bool) (local, refusal string) {
	if windows {
		rest = strings.ReplaceAll(rest, `\`, "/")
	}
	server := ""
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		slash := strings.IndexByte(after, '/')
		if slash < 0 {
			return "", damagedItem
		}
		server, rest = after[:slash], after[slash:]
	}
	name, err := url.PathUnescape(rest)
	if err != nil || strings.ContainsRune(name, 0) {
		return "", damagedItem
	}
	if windows && isDrive(server) { // file://C:/a.png
		server, name = "", "/"+server+name
	}
	if server != "" && !strings.EqualFold(server, "localhost") && (host == "" || !strings.EqualFold(server, host)) {
		return "", fmt.Sprintf(otherComputer, shorten(path.Base(name), 60))
	}
	if windows {
		if len(name) > 2 && name[0] == '/' && isDrive(name[1:3]) { // /C:/a.png, in old programs also /C|/a.png
			name = name[1:2] + ":" + name[3:]
		}
	}
	return localPath(name, windows)
}

func isDrive(text string) bool {
	return len(text) == 2 && (text[1] == ':' || text[1] == '|') && ('a' <= text[0]|0x20 && text[0]|0x20 <= 'z')
}

// localPath accepts a path that begins at the root of a file system of this computer.
func localPath(name string, windows bool) (local, refusal string) {
	if !windows {
		if strings.HasPrefix(name, "/") {
			return path.Clean(name), ""
		}
		return "", shorten(path.Base(name), 60) + " is not there."
	}
	name = strings.ReplaceAll(name, "/", `\`)
	if long, ok := strings.CutPrefix(name, `\\?\`); ok && len(long) > 2 && isDrive(long[:2]) {
		name = long
	}
	base := shorten(name[strings.LastIndex(name, `\`)+1:], 60)
	switch {
	case strings.HasPrefix(name, `\\`): // also devices, \\.\ and \\?\
		return "", fmt.Sprintf(otherComputer, base)
	case len(name) > 3 && isDrive(name[:2]) && name[1] == ':' && name[2] == '\\':
		return name, ""
	}
	return "", base + " is not there."
}
