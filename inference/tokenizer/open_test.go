package tokenizer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// smallFile returns a valid tokenizer.json with the tokens of all 256 bytes, one merge, and the template's tokens.
func smallFile() string {
	var vocab strings.Builder
	for b, r := range byteRunes {
		fmt.Fprintf(&vocab, "%q:%d,", string(r), b)
	}
	return `{"version":"1.0","truncation":null,"added_tokens":[
{"id":257,"content":"<|endoftext|>"},{"id":258,"content":"<|im_start|>"},{"id":259,"content":"<|im_end|>"},
{"id":260,"content":"<think>"},{"id":261,"content":"</think>"}],
"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[
{"type":"Split","pattern":{"Regex":"` + strings.ReplaceAll(qwen2Pattern, `\`, `\\`) + `"},
"behavior":"Isolated","invert":false},
{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":false,"use_regex":false}]},
"model":{"type":"BPE","dropout":null,"unk_token":null,"vocab":{` + vocab.String() + `"ab":256},"merges":[["a","b"]]}}`
}

func TestSmallFile(t *testing.T) {
	for _, row := range []struct{ name, old, new string }{
		{"unchanged", "", ""},
		{"merge as a line", `[["a","b"]]`, `["a b"]`},
		{"escaped", `"ab":256`, `"a\u0062":256`},
		{"no merges", `[["a","b"]]`, `[]`},
		{"unk_token that no byte can reach", `"unk_token":null`, `"unk_token":"ab"`},
		{"white space", `:256},"merges":[[`, " :\r\n\t256 } , \"merges\" : [ [ "},
	} {
		t.Run(row.name, func(t *testing.T) {
			tok, err := Open(writeDir(t, map[string]string{"tokenizer.json": replace(t, smallFile(), row.old, row.new)}))
			if err != nil {
				t.Fatal(err)
			}
			e, err := tok.Prompt("ab", 64)
			if err != nil || e.IDs[0] != 258 || e.IDs[63] != 257 || tok.VocabSize() != 262 {
				t.Errorf("ids %v (%v), vocabulary of %d", e.IDs, err, tok.VocabSize())
			}
			if got := tok.Decode(e.IDs[:e.Count]); got != templateHead+"ab"+templateTail {
				t.Errorf("decodes to %q", got)
			}
		})
	}
}

func replace(t *testing.T, s, old, new string) string {
	t.Helper()
	if old != "" && strings.Count(s, old) != 1 {
		t.Fatalf("%q occurs %d times, want once", old, strings.Count(s, old))
	}
	return strings.Replace(s, old, new, 1)
}

func TestRefusesTokenizerJSON(t *testing.T) {
	for _, row := range []struct{ name, old, new, want string }{
		{"truncated", `"merges":[["a","b"]]}}`, `"merges":[["a",`, "unexpected end of JSON"},
		{"not JSON", `{"version"`, `version`, "invalid character"},
		{"no model", `"model":{`, `"other":{`, "has no model"},
		{"other model", `"type":"BPE"`, `"type":"Unigram"`, `model type "Unigram", want BPE`},
		{"other normalizer", `"type":"NFC"`, `"type":"NFKC"`, "normalizer NFKC, want NFC"},
		{"no normalizer", `{"type":"NFC"}`, `null`, "normalizer none, want NFC"},
		{"other pattern", `\\p{N}| ?`, `\\p{N}{1,3}| ?`, "want that of Qwen2"},
		{"other pre-tokenizer", `"type":"Split"`, `"type":"Digits"`,
			`"Sequence Digits ByteLevel", want Sequence Split ByteLevel`},
		{"other behavior", `"Isolated"`, `"Removed"`, `behavior "Removed"`},
		{"inverted", `"invert":false`, `"invert":true`, "invert true"},
		{"prefix space", `"add_prefix_space":false`, `"add_prefix_space":true`, "add_prefix_space true"},
		{"second pattern by default", `,"use_regex":false`, ``, "use_regex true"},
		{"post-processor", `"normalizer":`, `"post_processor":{"type":"TemplateProcessing"},"normalizer":`,
			"post_processor TemplateProcessing"},
		{"dropout", `"dropout":null`, `"dropout":0.1`, "dropout 0.1"},
		{"prefix", `"dropout":null`, `"continuing_subword_prefix":"##"`, "continuing_subword_prefix"},
		{"suffix", `"dropout":null`, `"end_of_word_suffix":"</w>"`, "end_of_word_suffix"},
		{"ignore_merges", `"dropout":null`, `"ignore_merges":true`, "ignore_merges true"},
		{"byte_fallback without bytes", `"unk_token":null,"vocab":{"Ā":0,`, `"byte_fallback":true,"vocab":{`, "lacks bytes"},
		{"vocabulary is a list", `"vocab":{`, `"vocab":[],"other":{`, "want an object"},
		{"no vocabulary", `"vocab":{`, `"other":{`, "want an object"},
		{"id is text", `"ab":256`, `"ab":"256"`, `id of "ab"`},
		{"id is a list", `"ab":256`, `"ab":[256]`, `id of "ab"`},
		{"negative id", `"ab":256`, `"ab":-1`, "has the id -1, want 0 to"},
		{"large id", `"ab":256`, `"ab":1048576`, "has the id 1048576, want 0 to"},
		{"huge id", `"ab":256`, `"ab":9223372036854775808`, `id of "ab": found 9223372036854775808`},
		{"fractional id", `"ab":256`, `"ab":256.5`, `id of "ab"`},
		{"id twice", `"ab":256`, `"ab":255`, `id 255 belongs to`},
		{"token twice", `"ab":256`, `"ab":256,"ab":300`, `token "ab" occurs twice`},
		{"empty token", `"ab":256`, `"ab":256,"":300`, `id 300 is empty`},
		{"merge of an unknown token", `[["a","b"]]`, `[["a","b"],["ab","ab"]]`, `merge 1: "ab" and "ab"`},
		{"merge of three", `[["a","b"]]`, `[["a","b","c"]]`, "want two tokens"},
		{"merge of one word", `[["a","b"]]`, `["ab"]`, `found "ab", want two tokens`},
		{"merge of three words", `[["a","b"]]`, `["a b c"]`, `found "a b c", want two tokens`},
		{"merge of numbers", `[["a","b"]]`, `[[1,2]]`, "want two tokens"},
		{"merge is a number", `[["a","b"]]`, `[7]`, "want two tokens"},
		{"merges missing", `,"merges":[["a","b"]]`, ``, "want a list"},
		{"added token at a taken id", `"id":257`, `"id":256`, "id 256 belongs to"},
		{"added token twice", `"id":257`, `"id":300,"content":"<think>"},{"id":257`, `added token "<think>" has the ids`},
		{"added token without content", `"content":"<|endoftext|>"`, `"special":true`, "is empty"},
		{"added token with another id than in the vocabulary", `"content":"<think>"`, `"content":"ab"`,
			`added token "ab" has the id 260, but 256`},
		{"added id out of range", `"id":257`, `"id":-257`, "has the id -257"},
		{"added id too large for a number", `"id":257`, `"id":4294967553`, "cannot unmarshal"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := writeDir(t, map[string]string{"tokenizer.json": replace(t, smallFile(), row.old, row.new)})
			refuses(t, dir, filepath.Join(dir, "tokenizer.json"), row.want)
		})
	}
}

// refuses fails t unless Open(path) returns an error of one line that contains file and want.
func refuses(t *testing.T, path, file, want string) {
	t.Helper()
	_, err := Open(path)
	if err == nil {
		t.Fatal("was accepted")
	}
	if s := err.Error(); !strings.Contains(s, file) || !strings.Contains(s, want) || strings.Contains(s, "\n") ||
		len(s) > 1000 {
		t.Errorf("error %q, want one line that names %s and says %q", s, file, want)
	}
}

func TestRefusesFolder(t *testing.T) {
	vocab := func() string {
		s := smallFile()
		s = s[strings.Index(s, `"vocab":`)+len(`"vocab":`):]
		return s[:strings.Index(s, `,"merges"`)]
	}()
	for _, row := range []struct {
		name  string
		files map[string]string
		file  string
		want  string
	}{
		{"empty", nil, "", "neither tokenizer.json nor vocab.json and merges.txt"},
		{"no merges", map[string]string{"vocab.json": vocab}, "merges.txt", "belong together"},
		{"no vocabulary", map[string]string{"merges.txt": "a b\n"}, "vocab.json", "belong together"},
		{"truncated vocabulary", map[string]string{"vocab.json": vocab[:100], "merges.txt": "a b\n"}, "vocab.json",
			"unexpected end"},
		{"merge of three", map[string]string{"vocab.json": vocab, "merges.txt": "#version: 0.2\na b\na b c\n"}, "merges.txt",
			"line 3"},
		{"unknown merge", map[string]string{"vocab.json": vocab, "merges.txt": "b a\n"}, "",
			`vocab.json, merges.txt: merge 0: "b" and "a"`},
		{"added token at a taken id",
			map[string]string{"vocab.json": vocab, "merges.txt": "", "added_tokens.json": `{"x!":3}`}, "", "id 3 belongs to"},
		{"added tokens are a list", map[string]string{"vocab.json": vocab, "merges.txt": "", "added_tokens.json": `[]`},
			"added_tokens.json", "want an object"},
		{"other class", map[string]string{"vocab.json": vocab, "merges.txt": "",
			"tokenizer_config.json": `{"tokenizer_class":"T5Tokenizer"}`}, "tokenizer_config.json",
			`"T5Tokenizer", want Qwen2Tokenizer`},
		{"left padding", map[string]string{"tokenizer.json": smallFile(), "tokenizer_config.json": `{"padding_side":"left"}`},
			"tokenizer_config.json", "left"},
		{"split special tokens",
			map[string]string{"tokenizer.json": smallFile(), "tokenizer_config.json": `{"split_special_tokens":true}`},
			"tokenizer_config.json", "split_special_tokens"},
		{"config id", map[string]string{"tokenizer.json": smallFile(),
			"tokenizer_config.json": `{"added_tokens_decoder":{"x":{"content":"y"}}}`}, "tokenizer_config.json", `id "x"`},
		{"config contradicts",
			map[string]string{"tokenizer.json": smallFile(),
				"tokenizer_config.json": `{"added_tokens_decoder":{"300":{"content":"<think>"}}}`}, "tokenizer.json",
			`"<think>" has the ids 260 and 300`},
		{"config is truncated", map[string]string{"tokenizer.json": smallFile(), "tokenizer_config.json": `{`},
			"tokenizer_config.json", "unexpected end"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := writeDir(t, row.files)
			refuses(t, dir, filepath.Join(dir, row.file), row.want)
			if _, err := Open(dir); errors.Is(err, fs.ErrNotExist) != (row.name == "empty") {
				t.Errorf("%v: want fs.ErrNotExist only for a folder without any file of a tokenizer", err)
			}
		})
	}
	if _, err := Open(filepath.Join(t.TempDir(), "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing folder: %v, want fs.ErrNotExist", err)
	}
}

func TestRefusesHugeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokenizer.json")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<30); err != nil { // a sparse file, which takes no space on disk
		t.Skip(err)
	}
	refuses(t, path, path, "1073741824 bytes, want at most")
}

func TestPromptNeedsTemplateTokens(t *testing.T) {
	for _, token := range []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"} {
		dir := writeDir(t, map[string]string{"tokenizer.json": replace(t, smallFile(), `"`+token+`"`, `"<other>"`)})
		tok, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tok.Prompt("", 512); err == nil || !strings.Contains(err.Error(), token) {
			t.Errorf("without %s: error %v, want one that names it", token, err)
		}
	}
}

// TestPad checks the padding token of tokenizer_config.json, written as a string and as an object.
func TestPad(t *testing.T) {
	for _, config := range []string{`{"pad_token":"<|im_end|>"}`, `{"pad_token":{"content":"<|im_end|>"}}`} {
		tok, err := Open(writeDir(t, map[string]string{"tokenizer.json": smallFile(), "tokenizer_config.json": config}))
		if err != nil {
			t.Fatal(err)
		}
		if e, err := tok.Prompt("", 512); err != nil || e.IDs[511] != 259 {
			t.Errorf("%s: padded with %d (%v), want 259", config, e.IDs[511], err)
		}
	}
}

// FuzzOpen parses any bytes as tokenizer.json. It wants an error of one line, or a tokenizer whose ids are below
// VocabSize.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(smallFile()))
	f.Add([]byte(`{"model":{"type":"BPE","vocab":{"a":0},"merges":["a a"]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		tok, err := parse("tokenizer.json", data, config{})
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of more than one line: %q", err)
			}
			return
		}
		for _, id := range tok.Encode("ab \xff<think>") {
			if id < 0 || int(id) >= tok.VocabSize() {
				t.Errorf("id %d in a vocabulary of %d", id, tok.VocabSize())
			}
		}
	})
}
