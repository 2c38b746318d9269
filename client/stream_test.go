package client

import (
	"strings"
	"testing"
)

// TestEvents checks how streams are read that no Kleinbild sends, but a server may.
func TestEvents(t *testing.T) {
	for _, row := range []struct{ name, stream, event, data string }{
		{"without a space", "event:progress\ndata:{}\n\n", "progress", "{}"},
		{"ends of lines", "event: progress\r\ndata: {}\r\n\r\n", "progress", "{}"},
		{"a comment before it", ":\n\n: here\nevent: progress\ndata: {}\n\n", "progress", "{}"},
		{"fields without values", "data\nevent\nid\n\n", "", ""},
		{"a name that is not data", "database: {}\nevent: progress\n\n", "progress", ""},
	} {
		got, err := newEvents(strings.NewReader(row.stream), maxEventBytes, maxEventBytes).next()
		if err != nil || got.name != row.event || string(got.data) != row.data {
			t.Errorf("%s: %q, %q, %v; want %q, %q", row.name, got.name, got.data, err, row.event, row.data)
		}
	}
}
