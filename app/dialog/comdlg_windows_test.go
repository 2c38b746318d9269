package dialog

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
	"unsafe"
)

func TestFilterList(t *testing.T) {
	got := string(utf16.Decode(filterList([]filter{{"Pictures", []string{"png", "jpg"}}})))
	if want := "Pictures\x00*.png;*.jpg\x00All files\x00*.*\x00\x00"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestChosenNames(t *testing.T) {
	for _, row := range []struct {
		buffer string
		many   bool
		want   []string
	}{
		{"\x00\x00", true, nil},
		{"C:\\a b\\ä+#%.png\x00\x00", true, []string{`C:\a b\ä+#%.png`}},
		{"C:\\folder\x00one.png\x00two.png\x00\x00", true, []string{`C:\folder\one.png`, `C:\folder\two.png`}},
		{"C:\\k.png\x00on-a-hill-7.png\x00\x00", false, []string{`C:\k.png`}},
	} {
		if got := chosenNames(utf16.Encode([]rune(row.buffer)), row.many); !slices.Equal(got, row.want) {
			t.Errorf("%q: %q, want %q", row.buffer, got, row.want)
		}
	}
}

func TestFits(t *testing.T) {
	for _, row := range []struct {
		path string
		want bool
	}{
		{"", true},
		{`C:\` + strings.Repeat("ä", 256), true},
		{`C:\` + strings.Repeat("ä", 257), false},
		{`C:\` + strings.Repeat("🦊", 128), true}, // two UTF-16 units each
		{`C:\` + strings.Repeat("🦊", 129), false},
		{"C:\a\x00b", false},
	} {
		if got := fits(row.path); got != row.want {
			t.Errorf("%q: %v, want %v", row.path, got, row.want)
		}
	}
}

// TestStructSizes compares the structures with their sizes in the Windows headers for 64 bits.
func TestStructSizes(t *testing.T) {
	if n := unsafe.Sizeof(openFileName{}); n != 152 {
		t.Errorf("OPENFILENAMEW has %d bytes, want 152", n)
	}
	if n := unsafe.Sizeof(browseInfo{}); n != 64 {
		t.Errorf("BROWSEINFOW has %d bytes, want 64", n)
	}
}
