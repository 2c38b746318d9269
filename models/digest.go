package models

import (
	"crypto/sha1" // git's, which names small files by it
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// newHash returns what computes the digest that the hub knows of the file.
func (f remoteFile) newHash() hash.Hash {
	if f.SHA256 != "" {
		return sha256.New()
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", f.SizeBytes)
	return h
}

// match compares the digest of a file's bytes with the hub's.
func (f remoteFile) match(h hash.Hash) error {
	name, want := "SHA-256", f.SHA256
	if want == "" {
		name, want = "git's SHA-1", f.GitSHA1
	}
	if have := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(have, want) {
		return fmt.Errorf("%s is %s, want %s", name, have, want)
	}
	return nil
}
