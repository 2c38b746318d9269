package inference

import (
	"slices"

	"github.com/kleinbild/kleinbild/inference/backend"
)

// A prompt's embeds take up to 16 MB in float32 (4B), a megapixel reference's latents 2 MB. The keys and values of one
// take 2 GiB in bfloat16 (9B), so that only those of one set of references are held.
const (
	promptCacheEntries     = 8
	referenceCacheEntries  = 16
	keysValuesCacheEntries = 1
)

// caches hold results of earlier runs, which later runs use again.
type caches struct {
	prompts    cache // prompt embeds by token ids
	references cache // reference latents by the digest of their pixels
	// keysValues has those of the references of one run, by the digests of their pixels, in their order, and adapters.
	keysValues cache
	adapters   adapterCache
}

func newCaches(b backend.Backend) caches {
	return caches{
		prompts: newCache(b, promptCacheEntries), references: newCache(b, referenceCacheEntries),
		keysValues: newCache(b, keysValuesCacheEntries),
	}
}

// drop frees everything.
func (c *caches) drop() {
	c.prompts.drop()
	c.references.drop()
	c.keysValues.drop()
	c.adapters.drop()
}

// cache holds the most recently used matrices by key and frees those that it drops. One run must not use more matrices
// than limit, or the first would be freed while the last is computed.
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

// cached returns the matrix of key. If the cache does not hold it, compute computes it. compute returns a matrix that
// Keep has allocated, even if it fails.
func (c *cache) cached(key string, compute func() (backend.Matrix, error)) (backend.Matrix, error) {
	if m, ok := c.get(key); ok {
		return m, nil
	}
	m, err := compute()
	if err != nil {
		c.b.Free(m)
		return m, err
	}
	c.put(key, m)
	return m, nil
}

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

// put stores value under key. The cache owns it from then on.
func (c *cache) put(key string, value backend.Matrix) {
	if len(c.entries) == c.limit {
		c.b.Free(c.entries[0].value)
		c.entries = slices.Delete(c.entries, 0, 1)
	}
	c.entries = append(c.entries, cacheEntry{key, value})
}

// sizeBytes returns the memory of all entries.
func (c *cache) sizeBytes() (bytes int64) {
	for _, e := range c.entries {
		bytes += e.value.Buffer.SizeBytes()
	}
	return bytes
}

func (c *cache) drop() {
	for _, e := range c.entries {
		c.b.Free(e.value)
	}
	c.entries = nil
}
