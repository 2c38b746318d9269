package safetensors

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// repeated returns head, results of item with commas between them, and tail: nearly size bytes in total.
func repeated(head string, size int, item func(i int) string, tail string) string {
	var b strings.Builder
	b.WriteString(head)
	for i := 0; b.Len() < size-len(tail)-500; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(item(i))
	}
	return b.String() + tail
}

// bytesTensor returns the description of a tensor whose data is the i-th byte.
func bytesTensor(i int, name, shape string) string {
	return fmt.Sprintf(`%q:{"dtype":"U8","shape":[%s],"data_offsets":[%d,%d]}`, name, shape, i, i+1)
}

// TestHostileHeaders parses headers just under the limit that take much work. Each must take at most half a second and
// 100 MB. With the Decoder of encoding/json they took up to 5.7 s and 467 MB.
func TestHostileHeaders(t *testing.T) {
	const n = maxHeaderBytes
	for _, row := range []struct{ name, text, want string }{
		{"tensors of short names", repeated("{", 6_000_000, func(i int) string {
			return bytesTensor(i, fmt.Sprintf("%x",
				i), "")
		}, "}"), ""},
		{"too many tensors", repeated("{", n, func(i int) string {
			return bytesTensor(i, fmt.Sprintf("%x",
				i), "")
		}, "}"), "more than 100001 keys"},
		{"tensors of 64 dimensions",
			repeated("{", n, func(i int) string { return bytesTensor(i, fmt.Sprint(i), strings.Repeat("1,", 63)+"1") }, "}"),
			""},
		{"tensors of long names", repeated("{", n, func(i int) string {
			return bytesTensor(i, fmt.Sprintf("%0900d",
				i), "")
		}, "}"), ""},
		{"a name too long", `{` + bytesTensor(0, strings.Repeat("x", 1001), "") + `}`,
			"a name of 1001 bytes, want at most 1000"},
		{"names of escapes", repeated("{", n, func(i int) string {
			return fmt.Sprintf(`"%s%d":{"dtype":"U8","shape":[],"data_offsets":[%d,%d]}`, strings.Repeat(`\u0041`, 140), i, i,
				i+1)
		}, "}"), ""},
		{"metadata of 10,000 keys",
			`{"__metadata__":` + repeated("{", 90_000, func(i int) string { return fmt.Sprintf(`"%x":""`, i) }, "}}"), ""},
		{"metadata of a million keys",
			`{"__metadata__":` + repeated("{", n, func(i int) string { return fmt.Sprintf(`"%x":""`, i) }, "}}"),
			"more than 10000 keys"},
		{"one long string", `{"__metadata__":{"a":"` + strings.Repeat("x", n-40) + `"}}`, ""},
		{"one string of escapes", `{"__metadata__":{"a":"` + strings.Repeat(`\n`, n/2-20) + `"}}`, ""},
		{"one long number", `{"a":{"shape":[` + strings.Repeat("1", n-40) + `]}}`, "want a whole number from 0"},
		{"a long unknown dtype", `{"a":{"dtype":"` + strings.Repeat("X", n-40) + `"}}`, "unknown dtype"},
		{"deeply nested", `{"a":` + strings.Repeat("[", n/2-20) + strings.Repeat("]", n/2-20) + `}`, "exceeded max depth"},
		{"nested below the parser's limit", `{"a":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`,
			"found [, want an object"},
		{"spaces", `{` + strings.Repeat(" ", n-2) + `}`, ""},
		{"the same key again and again", repeated("{", n, func(i int) string { return bytesTensor(0, "a", "") }, "}"),
			"duplicate key"},
	} {
		if len(row.text) > n {
			t.Fatalf("%s: %d bytes", row.name, len(row.text))
		}
		text := []byte(row.text)
		var h *header
		var err error
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		took := cpuTime(func() { h, err = parseHeader(text) })
		runtime.ReadMemStats(&after)
		taken := (after.TotalAlloc - before.TotalAlloc) >> 20
		t.Logf("%-32s %8d bytes: %v, %d MB", row.name, len(text), took.Round(time.Millisecond), taken)
		if took > 500*time.Millisecond || taken > 100 {
			t.Errorf("%s: %v and %d MB, want 0.5 s and 100 MB at most", row.name, took, taken)
		}
		if row.want == "" && (err != nil || h == nil) ||
			row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %.300v, want %q", row.name, err, row.want)
		}
		if err != nil && len(err.Error()) > 1500 {
			t.Errorf("%s: a message of %d bytes", row.name, len(err.Error()))
		}
	}
}

// TestHeaderRefusedUnread opens large files with headers over the limit. Open must not read these headers.
func TestHeaderRefusedUnread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.safetensors")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []uint64{maxHeaderBytes + 1, 100_000_000, 1 << 40, 1 << 63, 1<<64 - 1} {
		head := binary.LittleEndian.AppendUint64(nil, size)
		if _, err := f.WriteAt(append(head, '{'), 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(int64(min(size, 1<<40) + 8)); err != nil { // a sparse file, which takes no space on disk
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Open(t.Context(), path)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "want at most 8388608") {
			t.Errorf("%d: %v", size, err)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 1<<20 {
			t.Errorf("%d: %d bytes of memory", size, taken)
		}
	}
}

// TestOpenEnds checks that Open and OpenSet return the cause of a context that has ended.
func TestOpenEnds(t *testing.T) {
	path := write(t, "x.safetensors", encode(one("F32", "[2]", "[0,8]"), 8))
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	cancel(reason)
	for _, open := range []func() error{
		func() error { _, err := Open(ctx, path); return err },
		func() error { _, err := OpenSet(ctx, path+".index.json"); return err },
	} {
		if err := open(); !errors.Is(err, reason) {
			t.Errorf("%v, want the cause", err)
		}
	}
}

// TestHugeMisalignedTensor checks that a tensor over maxCopiedBytes that is not aligned is refused.
func TestHugeMisalignedTensor(t *testing.T) {
	const size = maxCopiedBytes + 4
	header := fmt.Sprintf(`{"pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},`+
		`"b":{"dtype":"F32","shape":[%d],"data_offsets":[1,%d]}}`, size/4, size+1)
	for len(header)%4 != 0 {
		header += " "
	}
	path := write(t, "x.safetensors", encode(header, 0))
	if err := os.Truncate(path, int64(8+len(header)+size+1)); err != nil {
		t.Skip("no sparse files here:", err)
	}
	f, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Tensor("b"); err == nil || !strings.Contains(err.Error(), "are not aligned") {
		t.Errorf("%v, want an error for the alignment", err)
	}
}

// TestHostileIndexes opens indexes whose shards are outside the folder, and indexes that are too large.
func TestHostileIndexes(t *testing.T) {
	shard := encode(`{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1)
	dir := t.TempDir()
	model := filepath.Join(dir, "model")
	if err := errors.Join(os.Mkdir(model, 0o755),
		os.WriteFile(filepath.Join(dir, "outside.safetensors"), shard, 0o644)); err != nil {
		t.Fatal(err)
	}
	index := filepath.Join(model, "model.safetensors.index.json")
	names := []string{
		"../outside.safetensors", `..\outside.safetensors`, filepath.ToSlash(dir) + "/outside.safetensors",
		`C:\outside.safetensors`, "C:outside.safetensors",
		`\\server\share\x.safetensors`, "//server/x.safetensors", "x.safetensors:stream.safetensors", "a\x00.safetensors",
		"a\n.safetensors", "NUL.safetensors",
		"nul .safetensors", "COM1.safetensors", "lpt9.x.safetensors", "com¹.safetensors", "CON.safetensors", ".safetensors",
		"..safetensors", "..", ".", "",
		" x.safetensors", "x.safetensors ", "x.safetensors.", "x.bin", strings.Repeat("x", 250) + ".safetensors",
		"sub/x.safetensors",
	}
	for _, name := range names {
		if err := os.WriteFile(index, fmt.Appendf(nil, `{"weight_map":{"a":%s}}`, jsonString(name)), 0o644); err != nil {
			t.Fatal(err)
		}
		if s, err := OpenSet(t.Context(), index); err == nil {
			s.Close()
			t.Errorf("%q was opened", name)
		} else if !strings.Contains(err.Error(), "want the plain name of a .safetensors file") {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, row := range []struct{ name, text, want string }{
		{"100,000 shards", repeated(`{"weight_map":{`, 6<<20,
			func(i int) string { return fmt.Sprintf(`"%d":"%d.safetensors"`, i, i) }, "}}"), "keys"},
		{"10,000 shards", repeated(`{"weight_map":{`, 250_000,
			func(i int) string { return fmt.Sprintf(`"%d":"%d.safetensors"`, i, i) }, "}}"), "files, want at most 1000"},
		{"over the limit", `{"weight_map":{"a":"` + strings.Repeat("x", maxIndexBytes) + `"}}`, "want at most 8388608"},
		{"deeply nested", `{"metadata":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`,
			"exceeded max depth"},
		{"the same tensor twice", `{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}`, "duplicate key"},
		{"a name too long", `{"weight_map":{"` + strings.Repeat("a", 1001) + `":"x.safetensors"}}`, "a name of 1001 bytes"},
	} {
		if err := os.WriteFile(index, []byte(row.text), 0o644); err != nil {
			t.Fatal(err)
		}
		var err error
		took := cpuTime(func() { _, err = OpenSet(t.Context(), index) })
		if err == nil || !strings.Contains(err.Error(), row.want) || len(err.Error()) > 1500 {
			t.Errorf("%s: %.300v, want %q", row.name, err, row.want)
		}
		if took > 500*time.Millisecond {
			t.Errorf("%s: %v", row.name, took)
		}
	}
}

// jsonString returns s as a JSON string. Unlike json.Marshal it leaves every printable character as it is.
func jsonString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r < ' ' || r == '"' || r == '\\' {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// TestShardsShareTheLimit checks that maxHeaderBytes bounds the sum of the headers of all shards.
func TestShardsShareTheLimit(t *testing.T) {
	dir := t.TempDir()
	for i, name := range []string{"a", "b", "c"} {
		header := fmt.Sprintf(`{"__metadata__":{"x":%q},%q:{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`,
			strings.Repeat("x", 3<<20), name)
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.safetensors", i)), encode(header, 1), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	index := filepath.Join(dir, "x.safetensors.index.json")
	for text, want := range map[string]string{
		`{"weight_map":{"a":"0.safetensors","b":"1.safetensors"}}`: "",
		`{"weight_map":{"a":"0.safetensors","b":"1.safetensors","c":"2.safetensors"}}`: "" +
			"2.safetensors: header of 3145804 bytes, want at most",
	} {
		if err := os.WriteFile(index, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSet(t.Context(), index)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
		if err == nil {
			s.Close()
		}
	}
}
