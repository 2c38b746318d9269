package server

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"time"

	"kleinbild/inference/picture"
)

// pictureNames are what parts with pictures may be called: image, images, image[], images[], image[N], images[N].
var pictureNames = regexp.MustCompile(`^images?(?:\[([0-9]{0,9})\])?$`)

// pictureName says whether name is one of a picture, and which number it has; unnumbered ones go before all others.
func pictureName(name string) (number int, ok bool) {
	match := pictureNames.FindStringSubmatch(name)
	if match == nil {
		return 0, false
	}
	if match[1] == "" {
		return math.MinInt, true
	}
	number, err := strconv.Atoi(match[1])
	return number, err == nil
}

// upload is a picture of a form.
type upload struct {
	name   string
	number int // as pictureName returns it
	data   chunks
}

// sources returns the form's pictures: first those without a number in the order in which they came, then by number.
// base is the path's own name for them, which messages use for those without a number.
func (f *form) sources(base string) ([]*source, error) {
	uploads := slices.Clone(f.uploads)
	slices.SortStableFunc(uploads, func(a, b upload) int { return cmp.Compare(a.number, b.number) })
	var list []*source
	for i, u := range uploads {
		field := u.name
		if u.number == math.MinInt {
			field = fmt.Sprintf("%s[%d]", base, i)
		} else if i > 0 && uploads[i-1].number == u.number {
			return nil, invalid(u.name, "found two pictures of this number, want one")
		}
		list = append(list, &source{field: field, data: u.data})
	}
	return list, nil
}

// decode prepares a picture, one at a time for the whole server; of a client one waits for that, so that those of
// others are not behind all of them. The place is free again when the decoder has ended, also where its client has left
// before: what runs on takes memory and a processor whether somebody waits for it or not.
func (s *Server) decode(ctx context.Context, client string, file *chunks) (*picture.Reference, error) {
	begun := time.Now()
	if !s.decoders.take(ctx, client, s.limits.decoder) {
		return nil, noDecoder(ctx)
	}
	defer s.decoders.release(client)
	wait, cancel := context.WithDeadline(ctx, begun.Add(s.limits.decoder))
	defer cancel()
	if err := s.decodes.Acquire(wait, 1); err != nil {
		return nil, noDecoder(ctx)
	}
	defer s.decodes.Release(1)
	return picture.Decode(ctx, file.bytes())
}

// noDecoder says why a request under ctx has waited for a decoder in vain.
func noDecoder(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &apiError{status: http.StatusServiceUnavailable, detail: "too many pictures to decode at once", retryAfter: 10 * time.Second}
}
