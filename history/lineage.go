package history

import "github.com/kleinbild/kleinbild/inference/picture"

// Lineage returns the entries of list whose pictures the picture of e was made from, in the order of its references,
// then of what these were composed of, and those whose pictures were made from it, in the order of list.
//
// A reference is known by the digest of its file, wherever that lies now. Entries of earlier versions have no digest;
// they are known by the path that the reference was read from.
func Lineage(list []Entry, e Entry) (madeFrom, ledTo []Entry) {
	for _, r := range e.Sources() {
		if i := sourceOf(list, r, e); i >= 0 {
			madeFrom = append(madeFrom, list[i])
		}
	}
	for i := range list {
		for _, r := range list[i].Sources() {
			if e.isSource(r, &list[i]) {
				ledTo = append(ledTo, list[i])
				break
			}
		}
	}
	return madeFrom, ledTo
}

// sourceOf returns the index in list of the picture that reference r of the entry child is, or -1. Equal settings make
// equal files, so that several entries can have the digest: the one whose path was read comes first.
func sourceOf(list []Entry, r picture.ReferenceFile, child Entry) int {
	found := -1
	for i := range list {
		if !list[i].isSource(r, &child) {
			continue
		}
		if list[i].Path == r.Path {
			return i
		}
		if found < 0 {
			found = i
		}
	}
	return found
}

// isSource reports whether reference r of the entry child is the picture of e.
func (e *Entry) isSource(r picture.ReferenceFile, child *Entry) bool {
	switch {
	case e.ID == child.ID:
		return false
	case e.SHA256 != "":
		return e.SHA256 == r.SHA256
	}
	// A later picture may lie where an earlier one was.
	return e.Path != "" && e.Path == r.Path && e.ID < child.ID
}
