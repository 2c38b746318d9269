package inference

import (
	"slices"

	"kleinbild/inference/backend"
)

// A prompt's embeds take up to 16 MB in float32 (4B), a megapixel reference's latents 2 MB.
const (
	promptCacheEntries    = 8
	referenceCacheEntries = 16
)

// cache keeps the most recently used matrices by key; what falls out is freed. Matrices of one run must not exceed
// the limit, or the first would be freed while the last is computed.
type cache struct {
	b       backend.Backend
	limit   int
	entries []cacheEntry // oldest first
}

type cacheEntry struct {
	key   string
	value backend.Matrix
}

func newCache(b backend.Backend, limit int) cache { return cache{b: b, limit: limit} }

// get returns the matrix of key and makes it the newest.
func (c *cache) get(key string) (backend.Matrix, bool) {
	i := slices.IndexFunc(c.entries, func(e cacheEntry) bool { return e.key == key })
	if i < 0 {
		return backend.Matrix{}, false
	}
	e := c.entries[i]
	c.entries = append(slices.Delete(c.entries, i, i+1), e)
	return e.value, true
}

// put hands value over to the cache.
func (c *cache) put(key string, value backend.Matrix) {
	if len(c.entries) == c.limit {
		c.b.Free(c.entries[0].value)
		c.entries = slices.Delete(c.entries, 0, 1)
	}
	c.entries = append(c.entries, cacheEntry{key, value})
}
