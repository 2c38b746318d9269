package tokenizer

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	asset "github.com/kleinbild/kleinbild/assets/tokenizer"
)

func embedded(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// eachLine calls visit with every value of a file of JSON lines. A file whose name ends in .gz is decompressed; a file
// without values fails the test.
func eachLine[T any](t *testing.T, path string, visit func(T)) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = bufio.NewReader(f)
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(r); err != nil {
			t.Fatal(err)
		}
	}
	decoder := json.NewDecoder(r)
	n := 0
	for decoder.More() {
		var v T
		if err := decoder.Decode(&v); err != nil {
			t.Fatalf("%s: value %d: %v", path, n, err)
		}
		visit(v)
		n++
	}
	t.Logf("%s: %d values", path, n)
	if n == 0 {
		t.Fatalf("%s: no values", path)
	}
}

type vector struct {
	Text string
	IDs  []int32
}

// TestVectors compares ids with the reference's for many texts. $KLEINBILD_VECTORS may name one more file of texts and
// ids, as tools/reference/tokens.py writes it.
func TestVectors(t *testing.T) {
	tok := embedded(t)
	files := []string{"testdata/vectors.jsonl.gz", "testdata/random.jsonl.gz"}
	if extra := os.Getenv("KLEINBILD_VECTORS"); extra != "" {
		files = append(files, extra)
	}
	for _, file := range files {
		wrong := 0
		eachLine(t, file, func(v vector) {
			if got := tok.Encode(v.Text); !slices.Equal(got, v.IDs) {
				if wrong++; wrong <= 10 {
					t.Errorf("%s: %+q\n got %v\nwant %v", file, v.Text, got, v.IDs)
				}
			}
		})
		if wrong > 10 {
			t.Errorf("%s: %d texts differ", file, wrong)
		}
	}
}

func TestPromptVectors(t *testing.T) {
	tok := embedded(t)
	truncated := 0
	eachLine(t, "testdata/prompts.jsonl.gz", func(v struct {
		Prompt    string
		Templated string
		IDs       []int32
		MaskSum   int `json:"mask_sum"`
	}) {
		e, err := tok.Prompt(v.Prompt, 512)
		if err != nil {
			t.Fatal(err)
		}
		all := tok.Encode(v.Templated)
		if !slices.Equal(e.IDs, v.IDs) || e.Count != v.MaskSum || e.Total != len(all) {
			t.Errorf("%.80q: count %d, total %d, want %d, %d; ids equal: %t",
				v.Prompt, e.Count, e.Total, v.MaskSum, len(all), slices.Equal(e.IDs, v.IDs))
		}
		if e.Truncated() {
			truncated++
			if !strings.HasSuffix(nfc(v.Prompt), e.Cut) {
				t.Errorf("%.80q: cut %q is not its end", v.Prompt, e.Cut)
			}
		} else if e.Cut != "" {
			t.Errorf("%.80q: cut %q of a prompt that fits", v.Prompt, e.Cut)
		}
	})
	if truncated == 0 {
		t.Error("no prompt was too long: nothing tested truncation")
	}
}

func TestCut(t *testing.T) {
	tok := embedded(t)
	words := strings.Repeat("word ", 10)
	for _, row := range []struct {
		name, prompt string
		maxLength    int
		count        int
		cut          string
	}{
		// The template has 3 ids before the prompt and 9 after it. A space belongs to the token of the word after it;
		// the last space is a token of its own.
		{"fits", words[:4], 13, 13, ""},
		{"template cut", words[:4], 12, 12, ""},
		{"only the prompt is left", words[:4], 4, 4, ""},
		{"prompt cut", words[:4], 3, 3, "word"},
		{"half the words", words[:49], 8, 8, " word word word word word"},
		{"prompt that ends like the template", "a </think>\n\n", 3, 3, "a </think>\n\n"},
		{"longest", words[:4], maxPromptLength, 13, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			e, err := tok.Prompt(row.prompt, row.maxLength)
			if err != nil {
				t.Fatal(err)
			}
			if e.Count != row.count || e.Cut != row.cut || len(e.IDs) != row.maxLength {
				t.Errorf("count %d, cut %q, %d ids; want %d, %q, %d",
					e.Count, e.Cut, len(e.IDs), row.count, row.cut, row.maxLength)
			}
		})
	}
	for _, n := range []int{-1, 0, maxPromptLength + 1, 1 << 62} {
		if _, err := tok.Prompt("", n); err == nil {
			t.Errorf("maximum length %d was accepted", n)
		}
	}
}

// TestUnicode fails if Go's tables are those of another version of Unicode: the tables in unicode.go must then be made
// anew by comparing with the reference. It also checks nfc.
func TestUnicode(t *testing.T) {
	if unicode.Version != "15.0.0" {
		t.Errorf("Go's Unicode is %s, but the tables in unicode.go are differences from 15.0.0", unicode.Version)
	}
	for _, row := range []struct{ name, in, want string }{
		{"composes", "e\u0301", "é"},
		{"40 marks in a row, no joiner", "a" + strings.Repeat("\u0323\u0301", 20),
			"ạ" + strings.Repeat("\u0323", 19) + strings.Repeat("\u0301", 20)},
		{"mark of Unicode 11 is no mark", "a\u08d3\u0301", "a\u08d3\u0301"},
		{"mark of Unicode 11 stops reordering", "a\u0301\u08d3\u0323", "á\u08d3\u0323"},
		{"pair of Unicode 13 stays apart", "\U00011935\U00011930e\u0301", "\U00011935\U00011930é"},
		{"composite of Unicode 13 stays whole", "\U00011938e\u0301", "\U00011938é"},
		{"Hangul", "\u1112\u1161\u11ab", "한"},
		{"mark first", "\u0345\u0301e\u0301", "\u0301\u0345é"},
		{"singleton", "\u212b", "Å"},
		{"excluded composite", "\u0958", "\u0915\u093c"},
	} {
		if got := nfc(row.in); got != row.want {
			t.Errorf("%s: nfc(%+q) = %+q, want %+q", row.name, row.in, got, row.want)
		}
	}
}

func TestInvalidUTF8(t *testing.T) {
	// Expected values: Python's bytes.decode("utf-8", "replace").
	for _, row := range []struct{ name, in, want string }{
		{"one byte", "a\xffb", "a\ufffdb"},
		{"two bytes", "\xff\xfe", "\ufffd\ufffd"},
		{"two of three bytes", "\xe2\x82", "\ufffd"},
		{"two of three bytes, then text", "\xe2\x82a", "\ufffda"},
		{"three of four bytes", "\xf0\x9f\x98!", "\ufffd!"},
		{"overlong", "\xc0\x80\xe0\x80\x80", "\ufffd\ufffd\ufffd\ufffd\ufffd"},
		{"surrogate", "\xed\xa0\x80", "\ufffd\ufffd\ufffd"},
		{"past the last code point", "\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},
		{"valid", "Ω\ufffd😀", "Ω\ufffd😀"},
	} {
		if got := validUTF8(row.in); got != row.want {
			t.Errorf("%s: %+q became %+q, want %+q", row.name, row.in, got, row.want)
		}
	}
	tok := embedded(t)
	if got, want := tok.Encode("fox \xe2\x82"), tok.Encode("fox \ufffd"); !slices.Equal(got, want) {
		t.Errorf("Encode of invalid bytes: %v, want %v", got, want)
	}
}

// TestPair writes the embedded tokenizer as vocab.json, merges.txt and a file of added tokens. It wants the ids that
// tokenizer.json gives.
func TestPair(t *testing.T) {
	unzip, err := gzip.NewReader(bytes.NewReader(asset.JSONGzip))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		AddedTokens []struct {
			ID      int
			Content string
		} `json:"added_tokens"`
		Model struct {
			Vocab  json.RawMessage
			Merges [][]string
		}
	}
	if err := json.NewDecoder(unzip).Decode(&file); err != nil {
		t.Fatal(err)
	}
	var merges strings.Builder
	merges.WriteString("#version: 0.2\n")
	for _, pair := range file.Model.Merges {
		fmt.Fprintf(&merges, "%s\n", strings.Join(pair, " "))
	}
	added, decoder := map[string]int{}, map[string]any{}
	for _, token := range file.AddedTokens {
		added[token.Content] = token.ID
		decoder[fmt.Sprint(token.ID)] = map[string]string{"content": token.Content}
	}
	marshal := func(v any) string {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	whole := embedded(t)
	for _, row := range []struct {
		name  string
		files map[string]string
	}{
		{"added_tokens.json", map[string]string{"added_tokens.json": marshal(added)}},
		{"tokenizer_config.json",
			map[string]string{"tokenizer_config.json": marshal(map[string]any{"added_tokens_decoder": decoder,
				"pad_token": map[string]string{"content": "<|endoftext|>"}})}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.files["vocab.json"] = string(file.Model.Vocab)
			row.files["merges.txt"] = strings.ReplaceAll(merges.String(), "\n", "\r\n")
			tok, err := Open(writeDir(t, row.files))
			if err != nil {
				t.Fatal(err)
			}
			if tok.VocabSize() != whole.VocabSize() || tok.VocabSize() != 151669 {
				t.Errorf("vocabulary of %d, want that of tokenizer.json, %d", tok.VocabSize(), whole.VocabSize())
			}
			eachLine(t, "testdata/vectors.jsonl.gz", func(v vector) {
				if got := tok.Encode(v.Text); !slices.Equal(got, v.IDs) {
					t.Errorf("%+q: got %v, want %v", v.Text, got, v.IDs)
				}
			})
			want, _ := whole.Prompt("a fox", 30)
			got, err := tok.Prompt("a fox", 30)
			if err != nil || !slices.Equal(got.IDs, want.IDs) {
				t.Errorf("prompt: got %v (%v), want %v", got.IDs, err, want.IDs)
			}
		})
	}
}

func writeDir(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func FuzzEncode(f *testing.F) {
	tok := embedded(f)
	for _, seed := range []string{"", "a red fox", "e\u0301\xff<think>\u0338", "  \r\n 'LL 'ſ x\u3000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids := tok.Encode(text)
		// Added tokens are cut out before the text is normalised. Once the parts are joined, characters on both sides
		// of a token may compose, so that both texts are normalised before they are compared.
		valid := validUTF8(text)
		if got, want := nfc(tok.Decode(ids)), nfc(valid); got != want {
			t.Errorf("%+q: decodes to %+q, want %+q", text, got, want)
		}
		if !utf8.ValidString(valid) {
			t.Errorf("%+q: still not UTF-8: %+q", text, valid)
		}
		if len(ids) > len(nfc(valid)) {
			t.Errorf("%+q: %d ids for fewer bytes", text, len(ids))
		}
	})
}
