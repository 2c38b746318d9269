package models

import (
	"crypto/sha1" // git identifies small files by their SHA-1
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// newHash returns a hash of the kind whose digest the hub lists for the file.
func (f remoteFile) newHash() hash.Hash {
	if f.SHA256 != "" {
		return sha256.New()
	}
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", f.SizeBytes)
	return h
}

// match returns an error unless the digest of h is the one that the hub lists.
func (f remoteFile) match(h hash.Hash) error {
	name, want := "SHA-256", f.SHA256
	if want == "" {
		name, want = "git's SHA-1", f.GitSHA1
	}
	if got := hex.EncodeToString(h.Sum(nil)); !strings.EqualFold(got, want) {
		return fmt.Errorf("%s is %s, want %s", name, got, want)
	}
	return nil
}
