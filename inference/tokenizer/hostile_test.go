package tokenizer

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestHostileTokenizers opens files that no tokenizer's author would write, up to the limits in size. Open must succeed
// or fail in bounded time and memory. Without limits a list of ten million empty added tokens took 600 MB, and two such
// lists took hours.
func TestHostileTokenizers(t *testing.T) {
	const million = 1 << 20
	list := func(n int, item func(i int) string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(item(i))
		}
		return b.String()
	}
	item := func(i int) string { n := strconv.Itoa(i + 300); return `"ab` + n + `":` + n }
	addedItem := func(i int) string { return fmt.Sprintf(`{"id":%d,"content":"<%d>"}`, i+300, i) }
	emptyItem := func(i int) string { return fmt.Sprintf(`"%d":{}`, i) }
	valid := smallFile()
	file := func(old, new string) map[string]string {
		return map[string]string{"tokenizer.json": strings.Replace(valid, old, new, 1)}
	}
	config := func(text string) map[string]string {
		return map[string]string{"tokenizer.json": valid, "tokenizer_config.json": text}
	}
	const merges = `[["a","b"]]`
	for _, row := range []struct {
		name  string
		files map[string]string
		want  string // a part of the error; "" if Open succeeds
	}{
		{"a file over the limit", file(`"version":"1.0"`, `"version":"`+strings.Repeat("x", maxFileBytes)+`"`),
			"no tokenizer is that large"},
		{"more than a million merges", file(merges, `[`+list(million+2, func(int) string { return `"a b"` })+`]`),
			"more than 1048576 merges"},
		{"merges in a circle", file(merges, `["a b","b a","ab a"]`), "want a vocabulary that holds both"},
		{"a merge with an empty token", file(merges, `["a "]`), "want a vocabulary that holds both"},
		{"a million tokens", file(`"ab":256`, list(million-300, item)+`,"ab":256`), ""},
		{"too many tokens", file(`"ab":256`, list(million+1, item)), "more than 1048576 tokens"},
		{"the largest int32 as an id", file(`"ab":256`, `"ab":2147483647`), "has the id 2147483647, want 0 to 1048575"},
		{"a negative id", file(`"ab":256`, `"ab":-1`), "has the id -1"},
		{"an id as a fraction", file(`"ab":256`, `"ab":1e9`), "found 1e9"},
		{"a token of 4 MB", file(`"ab":256`, `"ab":256,"`+strings.Repeat("x", 4<<20)+`":263`), ""},
		{"a token of 4 MB whose id is no number", file(`"ab":256`, `"`+strings.Repeat("x", 4<<20)+`":"y"`), "id of"},
		{"deeply nested", file(`"version":"1.0"`, `"version":`+strings.Repeat("[", 1<<20)+strings.Repeat("]", 1<<20)),
			"exceeded max depth"},
		{"a million added tokens", file(`"added_tokens":[`, `"added_tokens":[`+strings.Repeat("{},", 1<<20)),
			"added_tokens of"},
		{"1001 added tokens", file(`"added_tokens":[`, `"added_tokens":[`+list(1001, addedItem)+","),
			"1006 added tokens, want at most 1000"},
		{"a giant added token",
			file(`"added_tokens":[`, `"added_tokens":[{"id":300,"content":"`+strings.Repeat("x", 500_000)+`"},`),
			"added token of 500000 bytes, want at most 256"},
		{"a pattern of 1.5 MB", file(`"Regex":"`, `"Regex":"`+strings.Repeat("(a*)*", 300_000)), "pre_tokenizer of"},
		{"a pattern with exponential backtracking", file(`"Regex":"`, `"Regex":"(a+)+$`), "want that of Qwen2"},
		{"a pre-tokenizer of many parts",
			file(`"pretokenizers":[`, `"pretokenizers":[`+strings.Repeat(`{"type":"x"},`, 4000)),
			"want Sequence Split ByteLevel"},
		{"a normalizer with a long name", file(`"type":"NFC"`, `"type":"`+strings.Repeat("x", 4<<20)+`"`), "want NFC"},
		{"a config over the limit", config(`{"chat_template":"` + strings.Repeat("x", maxConfigBytes) + `"}`),
			"no tokenizer is that large"},
		{"a chat template that never ends",
			config(`{"chat_template":"{% for a in range(10**9) %}{% for b in range(10**9) %}x{% endfor %}{% endfor %}"}`), ""},
		{"a deeply nested config", config(`{"x":` + strings.Repeat("[", 400_000) + strings.Repeat("]", 400_000) + `}`),
			"exceeded max depth"},
		{"many added tokens in the config",
			config(`{"added_tokens_decoder":{` + list(60_000, emptyItem) + `}}`),
			"added tokens, want at most 1000"},
		{"an id in the config of 500,000 digits",
			config(`{"added_tokens_decoder":{"` + strings.Repeat("9", 500_000) + `":{}}}`), "want a number up to"},
		{"a class with a long name", config(`{"tokenizer_class":"` + strings.Repeat("x", 900_000) + `"}`),
			"want Qwen2Tokenizer"},
		{"a padding token with a long name", config(`{"pad_token":"` + strings.Repeat("x", 900_000) + `"}`), ""},
	} {
		dir := t.TempDir()
		for name, text := range row.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		tok, err := Open(dir)
		spent := time.Since(start)
		runtime.ReadMemStats(&after)
		taken := (after.TotalAlloc - before.TotalAlloc) >> 20
		t.Logf("%-34s %v, %d MB", row.name, spent.Round(time.Millisecond), taken)
		if spent > 8*time.Second || taken > 500 {
			t.Errorf("%s: %v and %d MB", row.name, spent, taken)
		}
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %.300v, want %q", row.name, err, row.want)
		}
		if err != nil && len(err.Error()) > 2000 {
			t.Errorf("%s: a message of %d bytes", row.name, len(err.Error()))
		}
		if err == nil {
			if _, err := tok.Prompt("ab", 64); err != nil && len(err.Error()) > 2000 {
				t.Errorf("%s: a message of %d bytes", row.name, len(err.Error()))
			}
		}
	}
}

// TestEncodingIsNearLinear encodes 16 KiB and 64 KiB of texts for which a naive implementation takes quadratic time.
// The longer text may take at most 10 times as long; quadratic growth would be 16 times.
func TestEncodingIsNearLinear(t *testing.T) {
	// In this vocabulary every prefix of a word of a's is a token, 900 added tokens have a common prefix, and blanks
	// are added tokens that include the blanks around them.
	var added, merges strings.Builder
	var vocab strings.Builder
	for i := range 200 {
		fmt.Fprintf(&vocab, `"%s":%d,`, strings.Repeat("a", i+2), 2000+i)
		fmt.Fprintf(&merges, `["%s","a"],`, strings.Repeat("a", i+1))
	}
	for i := range 900 {
		fmt.Fprintf(&added, `{"id":%d,"content":"%s%03d"},`, 300+i, strings.Repeat("b", 250), i)
	}
	added.WriteString(`{"id":1300,"content":" ","rstrip":true},{"id":1301,"content":"\t","lstrip":true},` +
		`{"id":1302,"content":"\t\t","lstrip":true,"rstrip":true,"single_word":true},`)
	text := strings.Replace(smallFile(), `"added_tokens":[`, `"added_tokens":[`+added.String(), 1)
	text = strings.Replace(text, `"ab":256`, vocab.String()+`"ab":256`, 1)
	text = strings.Replace(text, `[["a","b"]]`, `[`+merges.String()+`["a","b"]]`, 1)
	hostile, err := Open(writeDir(t, map[string]string{"tokenizer.json": text}))
	if err != nil {
		t.Fatal(err)
	}
	const most = 64 << 10 // the largest prompt
	for _, row := range []struct {
		name string
		tok  *Tokenizer
		unit string
	}{
		{"one letter", embedded(t), "a"}, {"one letter, hostile merges", hostile, "a"}, {"begun added tokens", hostile, "b"},
		{"blanks", embedded(t), " "}, {"added blanks", hostile, " "}, {"added blanks and tabs", hostile, "\t "},
		{"added tabs", hostile, "\t"},
		{"marks", embedded(t), "\u0323\u0301"}, {"quotes", embedded(t), "'"}, {"line ends", embedded(t), " \n"},
		{"special tokens", embedded(t), "<|im_start|>"},
		{"joiners", embedded(t), "\u200d"}, {"invalid bytes", embedded(t), "\xf0\x90\x80"},
	} {
		times := func(n int) time.Duration {
			prompt := strings.Repeat(row.unit, n/len(row.unit))
			best := time.Hour
			for range 2 {
				start := time.Now()
				if _, err := row.tok.Prompt(prompt, 512); err != nil {
					t.Fatal(err)
				}
				best = min(best, time.Since(start))
			}
			return best
		}
		quarter, whole := times(most/4), times(most)
		t.Logf("%-28s 16 KiB %v, 64 KiB %v", row.name, quarter.Round(time.Microsecond), whole.Round(time.Microsecond))
		if whole > 500*time.Millisecond && whole > 10*quarter || whole > 5*time.Second {
			t.Errorf("%s: 16 KiB %v, 64 KiB %v", row.name, quarter, whole)
		}
	}
}

// TestTouchingFlags encodes white space that an rstrip token before it and an lstrip token after it both include.
func TestTouchingFlags(t *testing.T) {
	text := strings.Replace(smallFile(), `"added_tokens":[`,
		`"added_tokens":[{"id":300,"content":"<r>","rstrip":true},{"id":301,"content":" ","lstrip":true},`, 1)
	tok, err := Open(writeDir(t, map[string]string{"tokenizer.json": text}))
	if err != nil {
		t.Fatal(err)
	}
	for _, prompt := range []string{"<r>   x", "<r> ", "<r>  <r>  a  ", "   <r>"} {
		if ids := tok.Encode(prompt); len(ids) == 0 || len(ids) > 20 {
			t.Errorf("%q: %v", prompt, ids)
		}
	}
}
