package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// isoBoxOf returns an ISO box.
func isoBoxOf(kind string, content ...byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(content))), kind...), content...)
}

// gridHEIC returns the header of a HEIC file whose picture, item 1, is composed of item 2 so many times. The file has
// no data to decode.
func gridHEIC(picture, tile Size, named int) []byte {
	order := binary.BigEndian
	size := func(s Size) []byte {
		return isoBoxOf("ispe", order.AppendUint32(order.AppendUint32(make([]byte, 4), uint32(s.Width)), uint32(s.Height))...)
	}
	references := order.AppendUint16([]byte{0, 1}, uint16(named)) // from item 1
	for range named {
		references = append(references, 0, 2)
	}
	associations := []byte{0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 1, 1, 0, 2, 1, 2}
	return headerHEIC(slices.Concat(size(picture), size(tile)), associations, isoBoxOf("dimg", references...))
}

// headerHEIC returns the header of a HEIC file with the given contents of the boxes ipco, ipma and iref. Item 1 is the
// primary picture.
func headerHEIC(properties, associations, references []byte) []byte {
	iprp := slices.Concat(isoBoxOf("ipco", properties...), isoBoxOf("ipma", associations...))
	meta := slices.Concat(make([]byte, 4), isoBoxOf("pitm", 0, 0, 0, 0, 0, 1),
		isoBoxOf("iref", slices.Concat(make([]byte, 4), references)...), isoBoxOf("iprp", iprp...))
	return slices.Concat(isoBoxOf("ftyp", []byte("heic\x00\x00\x00\x00mif1heic")...), isoBoxOf("meta", meta...))
}

// TestPartsOfHEICAreCounted checks that a picture which is composed of the same tile too often is refused by its
// header.
func TestPartsOfHEICAreCounted(t *testing.T) {
	phone, tile := Size{4032, 3024}, Size{512, 512}
	for _, row := range []struct {
		name          string
		picture, tile Size
		named         int
		refused       bool
	}{
		{"a phone's 48 tiles", phone, tile, 48, false},
		{"a small picture of one tile", Size{200, 150}, tile, 1, false},
		{"the same tile 60,000 times", phone, tile, 60_000, true},
		{"a large picture, six times", Size{4000, 4000}, Size{4000, 4000}, 6, true},
	} {
		_, err := heicConfig(gridHEIC(row.picture, row.tile, row.named))
		refused := errors.Is(err, ErrSize) && strings.Contains(err.Error(), "parts of")
		if refused != row.refused || err != nil && !refused {
			t.Errorf("%s: %v, want it refused: %v", row.name, err, row.refused)
		}
	}
	itself := gridHEIC(phone, tile, 1)
	references := strings.Index(string(itself), "dimg") + 4
	itself[references+5] = 1 // item 1 is derived from itself
	if _, err := heicConfig(itself); !errors.Is(err, ErrSize) {
		t.Errorf("a picture derived from itself: %v, want it refused", err)
	}
}

// TestListsOfHEICAreBounded checks that too long lists are refused before they are stored.
func TestListsOfHEICAreBounded(t *testing.T) {
	many := isoBoxOf("cdsc", append([]byte{0, 3, 0xff, 0xff}, make([]byte, 2*0xffff)...)...)
	for name, file := range map[string][]byte{
		"properties":   headerHEIC(slices.Repeat(isoBoxOf("free"), maxHEIFProperties+1), nil, nil),
		"associations": headerHEIC(nil, binary.BigEndian.AppendUint32(make([]byte, 4), maxHEIFItems+1), nil),
		"references":   headerHEIC(nil, nil, slices.Repeat(many, 3)),
	} {
		if _, err := heicConfig(file); !errors.Is(err, ErrSize) || !strings.Contains(err.Error(), "items") {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
}

// TestPropertiesOfHEICAreReadOnce checks that a long property costs its own length once, even if 10,000 items name it.
func TestPropertiesOfHEICAreReadOnce(t *testing.T) {
	long := append(isoBoxOf("auxC", make([]byte, 4<<20)...), isoBoxOf("ispe", 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 64)...)
	const items, named = 10_000, 100
	associations := binary.BigEndian.AppendUint32(make([]byte, 4), items)
	for range items {
		associations = append(associations, 0, 1, named)
		associations = append(associations, bytes.Repeat([]byte{1}, named)...)
	}
	begin := cpuTime()
	for range 3 {
		_, _ = heicConfig(headerHEIC(long, associations, nil))
	}
	if took := cpuTime() - begin; took > 2*time.Second {
		t.Errorf("%v of processor time", took)
	}
}

// TestChainsOfHEICAreFollowedSoFar checks a chain of 100,000 items, each of which is derived from the next one.
// Following the whole chain would need a stack that grows with the file.
func TestChainsOfHEICAreFollowedSoFar(t *testing.T) {
	references := map[string]map[uint64][]uint64{"dimg": {}}
	for i := range uint64(100_000) {
		references["dimg"][i] = []uint64{i + 1}
	}
	if pixels := heifPixels(0, nil, 1, references); pixels < 1<<40 {
		t.Errorf("%d pixels, want too many", pixels)
	}
	if pixels := heifPixels(99_995, nil, 1, references); pixels != 6 {
		t.Errorf("the last six: %d pixels, want 6", pixels)
	}
}

// countdown is a context that is cancelled after Err has been called so many times.
type countdown struct {
	context.Context
	left *atomic.Int64
}

func (c countdown) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// TestWebAssemblyEndsWithItsContext checks that decoders call Err of their context often, and stop when it is done.
func TestWebAssemblyEndsWithItsContext(t *testing.T) {
	for name, decode := range map[string]func(context.Context, []byte) (image.Image, error){
		"plain.heic": func(ctx context.Context, file []byte) (image.Image, error) {
			return decodeHEIC(ctx, file, Size{1000, 1000})
		},
		"plain.avif": func(ctx context.Context, file []byte) (image.Image, error) {
			head, err := readHEIF(file)
			if err != nil {
				return nil, err
			}
			return decodeAVIF(ctx, file, head)
		},
	} {
		file, err := os.ReadFile(filepath.Join("testdata", "kinds", name))
		if err != nil {
			t.Fatal(err)
		}
		const enough = 1 << 40
		var left atomic.Int64
		left.Store(enough)
		if _, err := decode(countdown{t.Context(), &left}, file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		calls := enough - left.Load()
		t.Logf("%s: the context is checked %d times", name, calls)
		if calls < 50 {
			t.Errorf("%s: the context is checked %d times, want at least 50", name, calls)
		}
		left.Store(calls / 2)
		if _, err := decode(countdown{t.Context(), &left}, file); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want the context's error", name, err)
		}
		if after := -left.Load(); after > 10 {
			t.Errorf("%s: the context is checked %d times after its end, want at most 10", name, after)
		}
	}
}

// TestDecoderInWebAssemblyHasATime checks that a decoder has a deadline, and that its error says so when it has passed.
func TestDecoderInWebAssemblyHasATime(t *testing.T) {
	ctx, cancel := wasmLimit(t.Context(), 100_000_000)
	defer cancel()
	if end, ok := ctx.Deadline(); !ok || end.IsZero() {
		t.Error("no deadline")
	}
	_, err := libheif.alone(t.Context(), 0, func(ctx context.Context) (image.Image, error) {
		module := &wasmModule{ctx: expired(ctx), format: "heic"}
		return nil, module.failed()
	})
	if !errors.Is(err, errWASMTime) {
		t.Errorf("%v, want %v", err, errWASMTime)
	}
}

// expired returns ctx with a deadline that has passed.
func expired(ctx context.Context) context.Context {
	late, cancel := context.WithTimeoutCause(ctx, 0, errWASMTime)
	defer cancel()
	<-late.Done()
	return late
}
