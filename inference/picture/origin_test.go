package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf16"
)

// withText returns a PNG picture with a text chunk of one kind, before or after its pixels.
func withText(t testing.TB, kind, keyword, value string, after bool) []byte {
	t.Helper()
	data := keyword + "\x00"
	switch kind {
	case "tEXt":
		data += value
	case "zTXt":
		data += "\x00" + deflated(value)
	case "iTXt":
		data += "\x00\x00\x00\x00" + value
	case "iTXt, compressed":
		data += "\x01\x00\x00\x00" + deflated(value)
	}
	return insertChunk(encodePNG(t, cornered()), kind[:4], []byte(data), after)
}

// TestOwnTextsOfAnyKind checks every kind of chunk, because programs that save a picture again change and move them.
func TestOwnTextsOfAnyKind(t *testing.T) {
	for _, row := range []struct{ kind, stored, want string }{
		{"tEXt", "f\xfcchse", "füchse"}, // Latin-1
		{"tEXt", "füchse", "füchse"},    // UTF-8, as some programs write
		{"zTXt", "f\xfcchse", "füchse"},
		{"iTXt", "füchse, 狐", "füchse, 狐"},
		{"iTXt, compressed", "füchse, 狐", "füchse, 狐"},
	} {
		for _, after := range []bool{false, true} {
			file := withText(t, row.kind, keyword, fmt.Sprintf(`{"format":1,"prompt":"%s","seed":7}`, row.stored), after)
			if meta, err := ReadMetadata(bytes.NewReader(file)); err != nil || meta.Prompt != row.want || meta.Seed != 7 {
				t.Errorf("%s %q, after the pixels %v: %q, %v", row.kind, row.stored, after, meta.Prompt, err)
			}
		}
	}
}

// apiGraph is the graph that ComfyUI stores for its own example, with a LoRA and with nodes of extensions for the text.
const apiGraph = `{
"3": {"class_type": "KSampler", "inputs": {
	"seed": 18446744073709551615, "steps": 20, "cfg": 8.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
	"model": ["10", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}, "is_changed": [NaN]},
"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd15.safetensors"}},
"5": {"class_type": "EmptyLatentImage", "inputs": {"width": 1000, "height": 512, "batch_size": 1}},
"6": {"class_type": "CLIPTextEncode", "inputs": {"text": ["20", 0], "clip": ["4", 1]}},
"7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry, NaN", "clip": ["4", 1]}},
"8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
"9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x", "images": ["8", 0]}},
"10": {"class_type": "LoraLoader", "inputs": {
	"lora_name": "oil.safetensors", "strength_model": 0.8, "model": ["4", 0], "clip": ["4", 1]}},
"20": {"class_type": "ShowText|pysssss", "inputs": {"text": ["21", 0], "text_0": "shown"}},
"21": {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "a red fox in the snow"}}}`

// fluxGraph has the form of FLUX workflows: noise, guider and sigmas are separate nodes, and numbers come through
// links.
const fluxGraph = `{
"13": {"class_type": "SamplerCustomAdvanced", "inputs": {
	"noise": ["25", 0], "guider": ["22", 0], "sampler": ["16", 0], "sigmas": ["17", 0], "latent_image": ["27", 0]}},
"22": {"class_type": "BasicGuider", "inputs": {"model": ["12", 0], "conditioning": ["26", 0]}},
"26": {"class_type": "FluxGuidance", "inputs": {"guidance": 3.5, "conditioning": ["6", 0]}},
"6": {"class_type": "CLIPTextEncodeFlux", "inputs": {"clip_l": "", "t5xxl": "a lighthouse", "clip": ["11", 0]}},
"25": {"class_type": "RandomNoise", "inputs": {"noise_seed": ["40", 0]}},
"40": {"class_type": "Seed (rgthree)", "inputs": {"seed": 42}},
"17": {"class_type": "BasicScheduler", "inputs": {
	"scheduler": "simple", "steps": 28, "denoise": 1, "model": ["12", 0]}},
"16": {"class_type": "KSamplerSelect", "inputs": {"sampler_name": "euler"}},
"27": {"class_type": "EmptySD3LatentImage", "inputs": {"width": ["41", 0], "height": ["42", 0], "batch_size": 1}},
"41": {"class_type": "PrimitiveInt", "inputs": {"value": 1024}},
"42": {"class_type": "PrimitiveInt", "inputs": {"value": 768}},
"12": {"class_type": "Power Lora Loader (rgthree)", "inputs": {
	"lora_1": {"on": true, "lora": "ink.safetensors", "strength": 1}, "lora_2": {"on": false, "lora": "off.safetensors"}}},
"8": {"class_type": "VAEDecode", "inputs": {"samples": ["13", 0]}},
"9": {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}}`

// drawnGraph is a small graph as ComfyUI's editor stores it.
const drawnGraph = `{"nodes": [
{"id": 6, "type": "CLIPTextEncode", "inputs": [{"name": "clip", "link": 3}], "widgets_values": ["a house"]},
{"id": 7, "type": "CLIPTextEncode", "inputs": [{"name": "clip", "link": 3}], "widgets_values": ["ugly"]},
{"id": 5, "type": "EmptyLatentImage", "widgets_values": [512, 768, 1]},
{"id": 3, "type": "KSampler",
	"inputs": [{"name": "positive", "link": 4}, {"name": "negative", "link": 6}, {"name": "latent_image", "link": 2}],
	"widgets_values": [9007199254740993, "randomize", 12, 7, "dpmpp_2m", "karras", 1]},
{"id": 99, "type": "KSampler", "mode": 4, "inputs": [], "widgets_values": [1]},
{"id": 50, "type": "Note", "widgets_values": null}],
"links": [[4, 6, 0, 3, 1, "CONDITIONING"], [6, 7, 0, 3, 2, "CONDITIONING"], [2, 5, 0, 3, 3, "LATENT"], null]}`

const parameters = "a red fox,\nin the snow <lora:oil:0.8>\nNegative prompt: blurry,\nlow quality\n" +
	"Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 1234567890, Size: 500x768, Model hash: abc, Model: dream, " +
	`Lora hashes: "oil: 1, b: 2", Version: v1.9.0`

func TestOrigins(t *testing.T) {
	for _, row := range []struct {
		name, keyword, value string
		program              string
		prompt, negative     string
		seed                 uint64
		steps                int
		size                 Size
		notes                []string
	}{
		{"A1111", "parameters", parameters, "AUTOMATIC1111", "a red fox,\nin the snow", "blurry,\nlow quality",
			1234567890, 20, Size{496, 768}, []string{"size 500x768 becomes 496x768", "adapter oil", "Sampler DPM++ 2M",
				"CFG scale 7",
				"Model dream", "Lora hashes oil: 1, b: 2", "negative prompt"}},
		{"A1111, prompt alone", "parameters", "a fox\nSteps: 4, Seed: 0, Size: 64x64", "AUTOMATIC1111", "a fox", "", 0, 4,
			Size{64, 64}, nil},
		{"A1111, Windows' line ends, a line after the settings", "parameters",
			"a fox\r\nSteps: 4, Seed: 5, Size: 64x64\r\nTemplate: a {fox|cat}", "AUTOMATIC1111", "a fox", "", 5, 4,
			Size{64, 64}, nil},
		{"A1111, values out of range", "parameters", "a fox\nSteps: 99999, Seed: -1, Size: 0x64", "AUTOMATIC1111", "a fox",
			"", 0, 0, Size{}, []string{"steps 99999", "seed -1", "size 0x64"}},
		{"Kleinbild's text for other programs", "parameters", example().parameters(), "Kleinbild", "a red fox in the snow",
			"", 18446744073709551615, 4, Size{96, 64}, nil},
		{"ComfyUI", "prompt", apiGraph, "ComfyUI", "a red fox in the snow", "blurry, NaN", 18446744073709551615, 20,
			Size{1008, 512}, []string{"size 1000x512 becomes 1008x512", "model sd15.safetensors", "LoRA oil.safetensors",
				"sampler euler", "scheduler normal", "CFG scale 8.0"}},
		{"ComfyUI, FLUX", "prompt", fluxGraph, "ComfyUI", "a lighthouse", "", 42, 28, Size{1024, 768},
			[]string{"LoRA ink.safetensors", "guidance 3.5"}},
		{"ComfyUI, of the editor", "workflow", drawnGraph, "ComfyUI", "a house", "ugly", 9007199254740993, 12, Size{512, 768},
			[]string{"sampler dpmpp_2m"}},
		{"InvokeAI", "invokeai_metadata", `{"generation_mode":"sdxl_txt2img","positive_prompt":"a fox",
			"negative_prompt":"blur","width":1024,"height":1000,"seed":77,"cfg_scale":7.5,"steps":30,"scheduler":"euler",
			"model":{"name":"dreamshaper","hash":"x"},"loras":[{"model":{"name":"ink"},"weight":0.7}],"app_version":"5.0"}`,
			"InvokeAI", "a fox", "blur", 77, 30, Size{1024, 1008},
			[]string{"model dreamshaper", "LoRA ink", "scheduler euler", "CFG scale 7.5"}},
		{"InvokeAI 3, a model of another shape", "invokeai_metadata",
			`{"positive_prompt":"a fox","seed":77,"model":{"model_name":"sd","base_model":"sd-1"},"steps":"many"}`,
			"InvokeAI", "a fox", "", 77, 0, Size{}, []string{"model sd"}},
		{"InvokeAI 2", "sd-metadata", `{"model":"stable diffusion","model_weights":"sd-1.5",
			"image":{"prompt":[{"prompt":"a fox [blur]","weight":1.0}],"steps":50,"cfg_scale":7.5,"seed":3,
			"width":512,"height":512,"sampler":"k_lms","type":"txt2img"}}`,
			"InvokeAI", "a fox", "blur", 3, 50, Size{512, 512}, []string{"model sd-1.5", "sampler k_lms"}},
		{"dream", "Dream", `"a "quoted" fox" -s 50 -S 42 -W512 -H640 -C 7.5 -A k_lms`,
			"InvokeAI", `a "quoted" fox`, "", 42, 50, Size{512, 640}, []string{"-C 7.5", "-A k_lms"}},
	} {
		for _, kind := range []string{"tEXt", "zTXt", "iTXt"} {
			got, err := ReadOrigin(bytes.NewReader(withText(t, kind, row.keyword, row.value, kind == "zTXt")))
			if err != nil {
				t.Errorf("%s: %v", row.name, err)
				break
			}
			if !strings.HasPrefix(got.Program, row.program) || got.Prompt != row.prompt ||
				got.NegativePrompt != row.negative || got.Seed != row.seed ||
				got.HasSeed != !strings.Contains(row.value, "Seed: -1") || got.Steps != row.steps ||
				(Size{got.Width, got.Height}) != row.size {
				t.Errorf("%s: %+v", row.name, got)
			}
			lines := strings.Join(append(got.Notes, got.Ignored...), "\n")
			for _, note := range row.notes {
				if !strings.Contains(lines, note) {
					t.Errorf("%s: %q lacks %q", row.name, lines, note)
				}
			}
			if strings.Contains(lines, "off.safetensors") {
				t.Errorf("%s: an adapter that is off is listed", row.name)
			}
		}
	}
	both := insertChunk(withText(t, "tEXt", "parameters", parameters, false), "tEXt", []byte("prompt\x00"+apiGraph), true)
	if got, err := ReadOrigin(bytes.NewReader(both)); err != nil || got.Program != "ComfyUI" {
		t.Errorf("two dialects: %+v, %v, want the one that is tried first", got, err)
	}
	own := insertChunk(encoded(t, example()), "tEXt", []byte("prompt\x00"+apiGraph), false)
	got, err := ReadOrigin(bytes.NewReader(own))
	if err != nil || got.Program != "Kleinbild" || got.Seed != example().Seed {
		t.Errorf("Kleinbild's own text and a graph: %+v, %v, want Kleinbild's", got, err)
	}
}

// TestStrangeOrigins checks that malformed and cyclic metadata takes little time and gives no values.
func TestStrangeOrigins(t *testing.T) {
	var cycle strings.Builder
	for i := range 300 { // all inputs of a node lead to the next one, and those of the last node to the first
		next := (i + 1) % 300
		fmt.Fprintf(&cycle, `,"%d":{"class_type":"X","inputs":{"seed":["%d",0],"noise_seed":["%d",0],"value":["%d",0],`+
			`"int":["%d",0],"text":["%d",0],"prompt":["%d",0],"a":["%d",0]}}`, i, next, next, next, next, next, next, next)
	}
	for name, row := range map[string]struct{ keyword, value string }{
		"a cyclic graph": {"prompt", `{"s":{"class_type":"KSampler","inputs":{"positive":["0",0],"seed":["0",0],` +
			`"steps":["0",0],"latent_image":["0",0]}}` + cycle.String() + "}"},
		"no graph":          {"prompt", "a red fox"},
		"another JSON":      {"prompt", `[1,2]`},
		"nodes of no shape": {"prompt", `{"1":5,"2":null,"3":{"class_type":7},"4":{"class_type":"KSampler","inputs":[1]}}`},
		"no sampler":        {"prompt", `{"1":{"class_type":"SaveImage","inputs":{}}}`},
		"deep":              {"prompt", strings.Repeat(`{"a":`, 100_000)},
		"editor, no nodes":  {"workflow", `{"nodes":[],"links":[]}`},
		"editor, no shape": {"workflow",
			`{"nodes":[{"id":null,"type":5,"widgets_values":{"a":1}}],"links":[[null,"x"],5]}`},
		"prose":               {"parameters", "a red fox: in the snow, with: three, colons: here"},
		"InvokeAI, no fields": {"invokeai_metadata", `{"app_version":"5.0"}`},
		"sd-metadata, text":   {"sd-metadata", `"x"`},
		"dream, no flags":     {"Dream", `a red fox`},
	} {
		start := time.Now()
		got, err := ReadOrigin(bytes.NewReader(withText(t, "tEXt", row.keyword, row.value, false)))
		if !errors.Is(err, ErrNoMetadata) {
			t.Errorf("%s: %.200v, %v, want ErrNoMetadata", name, got, err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("%s: takes %v", name, took)
		}
	}
	text := strings.Repeat("ü", 50_000) + "\nSteps: 4, Seed: 1, X: " + strings.Repeat("y", 5000) +
		strings.Repeat(", Z: 1", 500)
	long, err := ReadOrigin(bytes.NewReader(withText(t, "tEXt", "parameters", text, false)))
	if err != nil || len(long.Prompt) != maxForeignPrompt || len(long.Ignored) != maxNotes || len(long.Notes) != 1 {
		t.Errorf("prompt of %d bytes, %d ignored, notes %q, %v", len(long.Prompt), len(long.Ignored), long.Notes, err)
	}
	for _, note := range long.Ignored {
		if len(note) > 2*maxNoteRunes {
			t.Errorf("a note of %d bytes", len(note))
		}
	}
	// A file that is cut off after its texts still has them.
	cut := withText(t, "tEXt", "parameters", parameters, false)
	if got, err := ReadOrigin(bytes.NewReader(cut[:len(cut)-20])); err != nil || got.Steps != 20 {
		t.Errorf("cut off after its texts: %+v, %v", got, err)
	}
}

// TestLongTextsAreSaid checks that a text which exceeds its limit is reported, is not cut, and does not hide another
// text.
func TestLongTextsAreSaid(t *testing.T) {
	long := strings.Repeat("x", maxForeignBytes) + "\nSteps: 4, Seed: 1, Size: 64x64"
	graph := func(bytes int) string { // padded with a node that is not linked to anything
		return strings.TrimSuffix(apiGraph, "}") + `,"pad":{"class_type":"Note","inputs":{"note":"` +
			strings.Repeat("x", bytes) + `"}}}`
	}
	for name, row := range map[string]struct{ keyword, value string }{
		"parameters": {"parameters", long}, "a graph": {"prompt", graph(maxGraphBytes)},
		"a graph of the editor": {"workflow", graph(maxGraphBytes)},
	} {
		for _, compressed := range []bool{false, true} {
			kind := "tEXt"
			if compressed {
				kind = "zTXt"
			}
			file := withText(t, kind, row.keyword, row.value, false)
			_, err := ReadOrigin(bytes.NewReader(file))
			if !errors.Is(err, ErrTooLong) || !strings.Contains(err.Error(), row.keyword) {
				t.Errorf("%s, compressed %v: %v, want ErrTooLong", name, compressed, err)
			}
			file = insertChunk(file, "tEXt", []byte("Dream\x00"+`"a red fox" -s 5 -S 6`), false)
			got, err := ReadOrigin(bytes.NewReader(file))
			if err != nil || got.Steps != 5 || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], row.keyword) {
				t.Errorf("%s, compressed %v, with another: %+v, %v, want a note", name, compressed, got, err)
			}
			if _, err := ReadMetadata(bytes.NewReader(file)); !errors.Is(err, ErrNoMetadata) {
				t.Errorf("%s, compressed %v: %v, want ErrNoMetadata", name, compressed, err)
			}
		}
	}
	// Graphs as large as real ones are read, and also larger ones up to the limit.
	for _, bytesOfGraph := range []int{500 << 10, maxGraphBytes - len(apiGraph) - 100} {
		got, err := ReadOrigin(bytes.NewReader(withText(t, "tEXt", "prompt", graph(bytesOfGraph), false)))
		if err != nil || got.Steps != 20 || !strings.HasPrefix(got.Prompt, "a red fox") {
			t.Errorf("a graph of %d bytes: %+v, %v", bytesOfGraph, got, err)
		}
	}
}

// TestTextBombs checks that hundreds of texts which expand to megabytes take no more than the limit for all texts.
func TestTextBombs(t *testing.T) {
	bomb := compressedBytes(t, make([]byte, 8<<20))
	plain := encodePNG(t, cornered())
	header := len(pngSignature) + 4 + 4 + 13 + 4
	var chunks []byte
	for range 300 {
		for _, name := range []string{"parameters", "prompt", "workflow", "Dream"} {
			chunks = appendChunk(chunks, "zTXt", append([]byte(name+"\x00\x00"), bomb...))
		}
	}
	own := appendChunk(nil, "iTXt", textChunk(`{"format":1,"prompt":"fox"}`))
	file := slices.Concat(plain[:header], chunks, own, plain[header:])
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpuTime()
	got, err := ReadOrigin(bytes.NewReader(file))
	took := cpuTime() - began
	runtime.ReadMemStats(&after)
	if err != nil || got.Prompt != "fox" {
		t.Errorf("%+v, %v, want Kleinbild's own text after the bombs", got, err)
	}
	taken := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d bytes: %v, %d KiB", len(file), took, taken>>10)
	if taken > 16*maxTextsBytes || took > 5*time.Second {
		t.Errorf("it takes %v and %d bytes, want a few times the limit of %d", took, taken, maxTextsBytes)
	}
}

// TestManyTexts checks that only the first of thousands of texts are read.
func TestManyTexts(t *testing.T) {
	plain := encodePNG(t, cornered())
	header := len(pngSignature) + 4 + 4 + 13 + 4
	texts := slices.Repeat(appendChunk(nil, "tEXt", []byte("Dream\x00x")), 200_000)
	began := cpuTime()
	_, err := ReadOrigin(bytes.NewReader(slices.Concat(plain[:header], texts, plain[header:])))
	if took := cpuTime() - began; took > 2*time.Second {
		t.Errorf("they take %v", took)
	}
	if !errors.Is(err, ErrTooLong) {
		t.Errorf("%v, want ErrTooLong", err)
	}
}

// TestControlCharactersStayOutside checks that control characters are removed from what may be shown on a terminal.
func TestControlCharactersStayOutside(t *testing.T) {
	value := "a \x1b[2Jred\x07 fox\r\nin\tsnow\u009b5m\nNegative prompt: \x1b]0;x\x07bad\n" +
		"Steps: 4, Seed: 1, Size: 64x64, X\u202e: \x1b[31mred, Sampler: \x1b[0mEuler"
	got, err := ReadOrigin(bytes.NewReader(withText(t, "iTXt", "parameters", value, false)))
	if err != nil {
		t.Fatal(err)
	}
	if want := "a [2Jred fox\nin\tsnow5m"; got.Prompt != want || got.NegativePrompt != "]0;xbad" {
		t.Errorf("prompts %q and %q, want %q", got.Prompt, got.NegativePrompt, want)
	}
	for _, line := range append(got.Ignored, got.Notes...) {
		if strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q is not plain text", line)
		}
	}
}

// TestExifOfOthers checks the metadata that A1111 and ComfyUI write into JPEG and WebP files.
func TestExifOfOthers(t *testing.T) {
	utf := func(order binary.AppendByteOrder) []byte {
		data := []byte(unicodeComment)
		for _, unit := range utf16.Encode([]rune(parameters)) {
			data = order.AppendUint16(data, unit)
		}
		return data
	}
	comment := func(data []byte) []exifEntry { return []exifEntry{{tagUserComment, typeUndefined, data}} }
	for name, row := range map[string]struct {
		first, second []exifEntry
		program       string
	}{
		"UTF-16, big endian":    {nil, comment(utf(binary.BigEndian)), "AUTOMATIC1111"},
		"UTF-16, little endian": {nil, comment(utf(binary.LittleEndian)), "AUTOMATIC1111"},
		"ASCII":                 {nil, comment([]byte("ASCII\x00\x00\x00" + parameters)), "AUTOMATIC1111"},
		"ComfyUI": {[]exifEntry{
			{tagMake, typeASCII, []byte("workflow:" + drawnGraph + "\x00")},
			{tagModel, typeASCII, []byte("prompt:" + apiGraph + "\x00")},
		}, nil, "ComfyUI"},
	} {
		block := layExif(row.first, row.second)
		segment := binary.BigEndian.AppendUint16([]byte("\xff\xd8\xff\xe1"), uint16(2+len(exifPrefix)+len(block)))
		file := append(append(append(segment, exifPrefix...), block...), "\xff\xda\x00\x02"...)
		got, err := ReadOrigin(bytes.NewReader(file))
		if err != nil || !strings.HasPrefix(got.Program, row.program) || got.Steps != 20 ||
			!strings.HasPrefix(got.Prompt, "a red fox") {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for cut := range file {
			_, _ = ReadOrigin(bytes.NewReader(file[:cut])) // must not panic
		}
	}
}

func TestReadOriginFileNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "plain.png")
	if err := os.WriteFile(path, encodePNG(t, cornered()), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadOriginFile(path); !errors.Is(err, ErrNoMetadata) || !strings.Contains(err.Error(), path) {
		t.Errorf("%v, want ErrNoMetadata of %s", err, path)
	}
}

// FuzzReadOrigin checks that each text gives ErrNoMetadata, or values within the limits.
func FuzzReadOrigin(f *testing.F) {
	for name, value := range map[string]string{
		"prompt": apiGraph, "workflow": drawnGraph, "parameters": parameters, "Dream": `"a" -s 5 -S 6`,
	} {
		f.Add(name, value)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		defer soon(t)()
		for _, d := range dialects {
			if d.keyword == keyword || d.keyword != name {
				continue
			}
			o, err := d.read(value)
			if err != nil {
				if !errors.Is(err, ErrNoMetadata) {
					t.Error(err)
				}
				continue
			}
			size := Size{o.Width, o.Height}
			if len(o.Prompt) > maxForeignPrompt || o.Steps < 0 || o.Steps > maxForeignSteps ||
				size != (Size{}) && size.Check() != nil || len(o.Notes) > maxNotes || len(o.Ignored) > maxNotes {
				t.Errorf("%+v", o)
			}
		}
	})
}
