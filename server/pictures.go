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
)

// pictureNames matches the names of parts with pictures: image, images, image[], images[], image[N], images[N].
var pictureNames = regexp.MustCompile(`^images?(?:\[([0-9]{0,9})\])?$`)

// pictureName says whether name is the name of a picture, and returns its number. A picture without a number has the
// smallest one, so that it comes before all others.
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

// upload is a picture that a form contains.
type upload struct {
	name   string
	number int // the number that pictureName returns
	data   chunks
}

// sources returns the form's pictures: first those without a number, in the order in which they came, then the others
// by number. Messages call a picture without a number base[i], i being its index.
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

// decode has do decode a picture. The whole server decodes one picture at a time. Only one picture of each
// client waits for that, so that the pictures of one client do not delay those of others for long. The next picture
// begins only when the decoder has ended, even if its client has left: until then the decoder takes memory and a
// processor.
func (s *Server) decode(ctx context.Context, client string, file *chunks, do func(file []byte) error) error {
	begun := time.Now()
	if !s.decoders.take(ctx, client, s.limits.decoder) {
		return noDecoder(ctx)
	}
	defer s.decoders.release(client)
	wait, cancel := context.WithDeadline(ctx, begun.Add(s.limits.decoder))
	defer cancel()
	if err := s.decodes.Acquire(wait, 1); err != nil {
		return noDecoder(ctx)
	}
	defer s.decodes.Release(1)
	return do(file.bytes())
}

// noDecoder returns the error of a request with the context ctx that got no decoder.
func noDecoder(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &apiError{
		status: http.StatusServiceUnavailable, detail: "too many pictures to decode at once", retryAfter: 10 * time.Second,
	}
}
