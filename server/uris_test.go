package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kleinbild/kleinbild/inference"
)

// urisOf reads image_uris as the server does.
func urisOf(t testing.TB, array string) (sources []*source, err error) {
	t.Helper()
	contentType, body := formOf(t, text(fieldImageURIs, array))
	f, err := readForm(request(contentType, body))
	if err != nil {
		t.Fatal(err)
	}
	return f.uris, f.urisErr
}

func request(contentType string, body []byte) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return r
}

// whole reads image_uris with encoding/json and decodes the data URIs. It returns false if the text is refused.
func whole(array string) (pictures [][]byte, ok bool) {
	if strings.Trim(array, " \t\r\n") == "" {
		return nil, true
	}
	var uris []*string
	if json.Unmarshal([]byte(array), &uris) != nil || uris == nil || len(uris) > inference.MaxReferences {
		return nil, false
	}
	for _, uri := range uris {
		if uri == nil {
			return nil, false
		}
		scheme, rest, ok := strings.Cut(*uri, ":")
		if !ok || !strings.EqualFold(scheme, "data") {
			if _, err := parseURL("x", *uri); err != nil || len(*uri) > maxURLBytes {
				return nil, false
			}
			pictures = append(pictures, nil)
			continue
		}
		kind, payload, ok := strings.Cut(rest, ",")
		data, err := base64.StdEncoding.DecodeString(payload)
		if !ok || len(kind) > maxURLBytes-6 || !strings.HasSuffix(strings.ToLower(kind), ";base64") || err != nil {
			return nil, false
		}
		pictures = append(pictures, data)
	}
	return pictures, true
}

func sameURIs(t *testing.T, array string) {
	t.Helper()
	want, ok := whole(array)
	have, err := urisOf(t, array)
	if (err == nil) != ok {
		t.Fatalf("%.300q: %v, want success %v", array, err, ok)
	}
	if len(have) != len(want) {
		t.Fatalf("%.300q: %d pictures, want %d", array, len(have), len(want))
	}
	for i := range have {
		data, _ := io.ReadAll(&have[i].data)
		if !bytes.Equal(data, want[i]) || (have[i].url == nil) != (want[i] != nil) {
			t.Errorf("%.300q: picture %d is %.100q, want %.100q", array, i, data, want[i])
		}
	}
}

// uriArrays are valid and malformed arrays.
var uriArrays = []string{
	"", " \n", "[]", " [ ] ", "null", "{}", `"x"`, "[", "[]]", "[] x", "[,]", `["data:image/png;base64,AAAA",]`,
	`["a" "b"]`, `[null]`, "[1]",
	`["data:image/png;base64,AAAA"]`, `["data:image/png;base64,AAAA" , "http://h/p"]`, `["DATA:;BASE64,AAAA"]`,
	`["data:image\/png;base64,AA\/A"]`,
	`["data:image/png;base64,AA=="]`, `["data:image/png;base64,AA"]`, `["data:image/png;base64,A"]`,
	`["data:image/png;base64,"]`,
	`["data:image/png;base64,AA\r\nAA"]`, `["data:image/png;base64,AA\u002bA"]`, `["data:image/png;base64,AA\u00e4A"]`,
	"[\"data:image/png;base64,AA\nAA\"]",
	`["data:image/png;base64,AAAA`, `["data:image/png,AAAA"]`, `["data:"]`, `["data"]`, `["https://h/\ud83d\ude00"]`,
	`["https://h/\ud83d"]`, `["https://h/\ud83dx"]`,
	`["https://h/a,b"]`, `["https://h/\u12"]`, `["https://h/\x"]`, `["https://h/\`, `["file:///x"]`, `["http://u:p@h/"]`,
	`["http://h/1","http://h/2","http://h/3","http://h/4"]`,
	`["http://h/1","http://h/2","http://h/3","http://h/4","http://h/5"]`,
}

// TestImageURIs checks that reading an array piece by piece gives the same as reading it whole.
func TestImageURIs(t *testing.T) {
	for _, array := range uriArrays {
		sameURIs(t, array)
	}
	sameURIs(t, `["data:image/png;base64,`+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("kleinbild"),
		30000))+`"]`)
	sameURIs(t, `["http://h/`+strings.Repeat("x", maxURLBytes)+`"]`)
}

func FuzzImageURIs(f *testing.F) {
	for _, array := range uriArrays {
		f.Add(array)
	}
	f.Fuzz(func(t *testing.T, array string) {
		if utf8.ValidString(array) {
			sameURIs(t, array)
		}
	})
}
