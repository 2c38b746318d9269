package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
)

func example() Metadata {
	return Metadata{
		Prompt: "a red fox in the snow", Seed: math.MaxUint64, Steps: 4, Guidance: 1, Width: 96, Height: 64,
		Model: "FLUX.2-klein-4B", ModelDigest: "0123456789abcdef", Variant: "4B distilled", Precision: "bf16", Device: "cpu",
		MaxSequenceLength: 512, Version: "1.2.3",
		References: []ReferenceFile{{Path: `C:\Bilder\füchse <1>.png`, SHA256: "ab"}, {Path: "/tmp/b.jpg", SHA256: "cd"}},
	}
}

func encoded(t testing.TB, meta Metadata) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := EncodePNG(&file, cornered(), meta); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// everyPlane returns the first, the last and many other code points of each Unicode plane, including control
// characters.
func everyPlane() string {
	var s strings.Builder
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if in := r & 0xffff; utf8.ValidRune(r) && (in < 0x300 || in > 0xff00 || r%251 == 0) {
			s.WriteRune(r)
		}
	}
	return s.String()
}

func TestMetadataRoundTrip(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(*Metadata)
	}{
		{"as it is", func(*Metadata) {}},
		{"empty", func(m *Metadata) { *m = Metadata{} }},
		{"no references", func(m *Metadata) { m.References = nil }},
		{"enlarged and refined", func(m *Metadata) {
			m.Upscale = &Upscale{Model: "x4", SHA256: "ab", Width: 12, Height: 8, Refine: RefineOf(Metadata{
				Prompt: "finer", Seed: 3, Steps: 4, Model: "m", ModelDigest: "d", Precision: "bf16", Device: "c",
				LoRAs: []LoRAFile{{Name: "l", Strength: 0.5}}, Edit: &Edit{Strength: 0.25},
			})}
		}},
		{"guidance without a short spelling", func(m *Metadata) { m.Guidance = 0.1 + 0.2 }},
		{"negative prompt", func(m *Metadata) { m.NegativePrompt = "blur" }},
		{"lines, quotes, NUL, markup", func(m *Metadata) { m.Prompt = "a\r\n\"b\"\\\x00\t</script>&\u2028\u2029" }},
		{"every plane", func(m *Metadata) { m.Prompt = everyPlane() }},
		{"long", func(m *Metadata) { m.Prompt = strings.Repeat("雪の中の狐 ", 30_000) }},
	} {
		want := example()
		row.change(&want)
		if err := want.Check(); err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		file := encoded(t, want)
		got, err := ReadMetadata(bytes.NewReader(file))
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if !reflect.DeepEqual(got, want.WithoutFolders()) {
			t.Errorf("%s: reads back differently", row.name)
		}
		if !bytes.Equal(file, encoded(t, want)) {
			t.Errorf("%s: two files of the same picture differ", row.name)
		}
	}
}

// TestFoldersStayAtHome checks that a written picture names no folder of its references, and that no byte of a base
// name is lost.
func TestFoldersStayAtHome(t *testing.T) {
	meta := example()
	meta.References = []ReferenceFile{
		{Path: "/home/anna/Bilder/füchse.png", SHA256: "ab"}, {Path: `C:\Users\Anna\b.jpg`, SHA256: "cd"}, {SHA256: "ef"},
		{Path: "/home/anna/f\xfc.png", SHA256: "01"},
	}
	file := encoded(t, meta)
	for _, folder := range []string{"home", "anna", "Bilder", "Users", "Anna"} {
		if bytes.Contains(file, []byte(folder)) {
			t.Errorf("the file names %s", folder)
		}
	}
	got, err := ReadMetadata(bytes.NewReader(file))
	want := []ReferenceFile{
		{Path: "füchse.png", SHA256: "ab"}, {Path: "b.jpg", SHA256: "cd"}, {SHA256: "ef"},
		{Path: "f\xfc.png", SHA256: "01"},
	}
	if err != nil || !reflect.DeepEqual(got.References, want) {
		t.Errorf("%+v, %v, want %+v", got.References, err, want)
	}
}

func TestBadUTF8IsReplaced(t *testing.T) {
	meta := example()
	meta.Prompt = "a\xffb"
	got, err := ReadMetadata(bytes.NewReader(encoded(t, meta)))
	if err != nil || got.Prompt != "a\uFFFDb" {
		t.Errorf("%q, %v, want U+FFFD for the bad byte", got.Prompt, err)
	}
}

// TestPNGForOtherPrograms checks that package image/png reads the same pixels, and that the chunk "parameters" has the
// text that other programs read.
func TestPNGForOtherPrograms(t *testing.T) {
	meta := example()
	meta.Prompt = "ein Fuchs\x00 im Schnee, 雪"
	meta.NegativePrompt = "blur"
	file := encoded(t, meta)
	img, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	for y := range 64 {
		for x := range 96 {
			if got, want := color.GrayModel.Convert(img.At(x, y)), cornered().At(x, y); got != want {
				t.Fatalf("(%d, %d) is %v, want %v", x, y, got, want)
			}
		}
	}
	texts := map[string]string{}
	var kinds []string
	chunks, err := newChunkReader(bytes.NewReader(file))
	for err == nil {
		if err = chunks.next(); err != nil {
			break
		}
		kinds = append(kinds, chunks.kind)
		if chunks.kind == "iTXt" {
			var data []byte
			if data, err = chunks.data(1 << 20); err == nil {
				keyword, text, _ := strings.Cut(string(data), "\x00\x00\x00\x00\x00")
				texts[keyword] = text
			}
		}
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	if got := strings.Join(kinds[:5], " "); got != "IHDR iTXt iTXt iTXt IDAT" {
		t.Errorf("chunks %s …, want the text between IHDR and IDAT", got)
	}
	want := "ein Fuchs\uFFFD im Schnee, 雪\nNegative prompt: blur\n" +
		"Steps: 4, Sampler: Euler, CFG scale: 1, Seed: 18446744073709551615, Size: 96x64, " +
		"Model hash: 0123456789, Model: FLUX.2-klein-4B, Version: Kleinbild 1.2.3"
	if texts["parameters"] != want {
		t.Errorf("parameters:\n%q, want\n%q", texts["parameters"], want)
	}
	if texts["Software"] != "Kleinbild 1.2.3" {
		t.Errorf("Software: %q", texts["Software"])
	}
}

func TestOpaquePicturesHaveNoAlpha(t *testing.T) {
	img, err := FromFloats(make([]float32, 3*64*64), 64, 64)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := EncodePNG(&file, img, Metadata{}); err != nil {
		t.Fatal(err)
	}
	const colourType, rgb = 25, 2
	if got := file.Bytes()[colourType]; got != rgb {
		t.Errorf("colour type %d, want %d", got, rgb)
	}
}

// textChunk returns the data of an iTXt chunk with Kleinbild's keyword.
func textChunk(text string) []byte { return []byte(keyword + "\x00\x00\x00\x00\x00" + text) }

func deflated(text string) string {
	var s strings.Builder
	w := zlib.NewWriter(&s)
	io.WriteString(w, text)
	w.Close()
	return s.String()
}

// hostilePNGs returns files whose metadata cannot be read, each with a part of the expected error.
func hostilePNGs(t testing.TB) map[string]struct {
	file []byte
	want string
} {
	plain := encodePNG(t, cornered())
	with := func(data []byte) []byte { return insertChunk(plain, "iTXt", data, false) }
	lengthOf := func(length uint32) []byte {
		file := bytes.Clone(with(textChunk("{}")))
		binary.BigEndian.PutUint32(file[33:], length)
		return file
	}
	return map[string]struct {
		file []byte
		want string
	}{
		"empty":                     {nil, "want PNG"},
		"text":                      {[]byte("a red fox"), "want PNG"},
		"a JPEG":                    {[]byte("\xff\xd8\xff\xe0"), "ends too early"},
		"signature only":            {[]byte(pngSignature), "ends too early"},
		"chunk without letters":     {append([]byte(pngSignature), make([]byte, 100)...), "four letters"},
		"first chunk not IHDR":      {appendChunk([]byte(pngSignature), "iTXt", textChunk(`{"format":1}`)), "want IHDR"},
		"length 2^31":               {lengthOf(1 << 31), "at most"},
		"length 2^32-1":             {lengthOf(math.MaxUint32), "at most"},
		"length 2^31-1":             {lengthOf(1<<31 - 1), "at most"},
		"length beyond the end":     {lengthOf(1 << 18), "ends too early"},
		"compressed":                {with([]byte(keyword + "\x00\x01\x00\x00\x00x")), "compressed"},
		"compressed in another way": {with([]byte(keyword + "\x00\x01\x01\x00\x00x")), "compression"},
		"compressed bomb": {with([]byte(keyword + "\x00\x01\x00\x00\x00" + deflated(strings.Repeat(" ", 64<<20)))),
			"at most"},
		"keyword only":              {with([]byte(keyword + "\x00")), "compression"},
		"no text":                   {with([]byte(keyword + "\x00\x00\x00de")), "no text"},
		"not JSON":                  {with(textChunk("prompt: fox")), "metadata"},
		"JSON of another shape":     {with(textChunk(`[1]`)), "metadata"},
		"no format":                 {with(textChunk(`{"prompt":"fox"}`)), "format 0, want 1"},
		"newer format":              {with(textChunk(`{"format":5}`)), "format 5, want 1 to 4"},
		"seed that is too large":    {with(textChunk(`{"format":1,"seed":18446744073709551616}`)), "metadata"},
		"negative seed":             {with(textChunk(`{"format":1,"seed":-1}`)), "metadata"},
		"steps that are no integer": {with(textChunk(`{"format":1,"steps":1e99}`)), "metadata"},
		"two documents":             {with(textChunk(`{"format":1}{}`)), "metadata"},
		"deep":                      {with(textChunk(`{"format":1,"x":` + strings.Repeat("[", 1<<18))), "metadata"},
	}
}

func TestReadMetadataRefuses(t *testing.T) {
	for name, row := range hostilePNGs(t) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		meta, err := ReadMetadata(bytes.NewReader(row.file))
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: reads %+v", name, meta)
			continue
		}
		oneLine(t, name, err)
		if !strings.Contains(err.Error(), row.want) || errors.Is(err, ErrNoMetadata) {
			t.Errorf("%s: error %q, want it to say %q", name, err, row.want)
		}
		// The limit holds for the text. The reader grows its buffer and copies it a few times.
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 8*maxMetadataBytes {
			t.Errorf("%s costs %d bytes, want a few times the limit of %d", name, cost, maxMetadataBytes)
		}
	}
}

func TestNoMetadata(t *testing.T) {
	plain := encodePNG(t, cornered())
	for name, file := range map[string][]byte{
		"plain":                plain,
		"another program's":    insertChunk(plain, "iTXt", []byte("parameters\x00\x00\x00\x00\x00a fox"), false),
		"longer keyword":       insertChunk(plain, "iTXt", []byte(keyword+"s\x00\x00\x00\x00\x00{}"), false),
		"short text":           insertChunk(plain, "iTXt", []byte("k"), false),
		"large foreign text":   insertChunk(plain, "iTXt", make([]byte, 2*maxMetadataBytes), false),
		"something after IEND": append(bytes.Clone(plain), "rest"...),
	} {
		if _, err := ReadMetadata(bytes.NewReader(file)); !errors.Is(err, ErrNoMetadata) {
			t.Errorf("%s: %v, want ErrNoMetadata", name, err)
		}
	}
	after := insertChunk(plain, "iTXt", textChunk(`{"format":1,"prompt":"fox"}`), true)
	if meta, err := ReadMetadata(bytes.NewReader(after)); err != nil || meta.Prompt != "fox" {
		t.Errorf("metadata after the pixels, where another program may move it: %+v, %v", meta, err)
	}
}

func TestDamageIsNoticed(t *testing.T) {
	file := encoded(t, example())
	end := bytes.Index(file, []byte("parameters")) - 8 // the end of the metadata's chunk, including its CRC
	for i := range end {
		for bit := range 8 {
			damaged := bytes.Clone(file)
			damaged[i] ^= 1 << bit
			meta, err := ReadMetadata(bytes.NewReader(damaged))
			if err == nil {
				t.Fatalf("bit %d of byte %d flipped: reads %+v", bit, i, meta)
			}
			oneLine(t, "damaged", err)
		}
	}
	for cut := range end {
		if _, err := ReadMetadata(bytes.NewReader(file[:cut])); err == nil || errors.Is(err, ErrNoMetadata) {
			t.Fatalf("cut at %d of %d bytes: %v, want an error that says so", cut, end, err)
		}
	}
}

func TestReadsNoFurtherThanNeeded(t *testing.T) {
	file := encoded(t, example())
	upTo := bytes.Index(file, []byte("parameters")) - 8
	endless := io.MultiReader(bytes.NewReader(file[:upTo]), neverRead{t})
	if _, err := ReadMetadata(endless); err != nil {
		t.Error(err)
	}
}

type neverRead struct{ t *testing.T }

func (r neverRead) Read([]byte) (int, error) {
	r.t.Error("reads beyond the metadata")
	return 0, io.EOF
}

func TestCheckRefusesWhatCannotBeWritten(t *testing.T) {
	for name, change := range map[string]func(*Metadata){
		"prompt of megabytes": func(m *Metadata) { m.Prompt = strings.Repeat("x", maxMetadataBytes) },
		"guidance NaN":        func(m *Metadata) { m.Guidance = math.NaN() },
	} {
		meta := example()
		change(&meta)
		err := meta.Check()
		if err == nil {
			t.Errorf("%s: Check accepts it", name)
			continue
		}
		oneLine(t, name, err)
		var file bytes.Buffer
		if EncodePNG(&file, cornered(), meta) == nil || file.Len() > 0 {
			t.Errorf("%s: EncodePNG writes %d bytes", name, file.Len())
		}
	}
}

func TestReadMetadataFileNamesTheFile(t *testing.T) {
	folder := t.TempDir()
	plain := filepath.Join(folder, "plain.png")
	if err := os.WriteFile(plain, encodePNG(t, cornered()), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{plain, folder, filepath.Join(folder, "missing.png")} {
		if _, err := ReadMetadataFile(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v, want an error that names %s", err, path)
		} else {
			oneLine(t, path, err)
		}
	}
	if _, err := ReadMetadataFile(plain); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("%v, want ErrNoMetadata", err)
	}
}

// FuzzReadMetadata checks that each file gives an error of one line, or metadata that can be written and read again.
func FuzzReadMetadata(f *testing.F) {
	f.Add(encoded(f, example()))
	f.Add(encodePNG(f, image.NewGray(image.Rect(0, 0, 1, 1))))
	for _, row := range hostilePNGs(f) {
		if len(row.file) < 64<<10 {
			f.Add(row.file)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		defer soon(t)()
		meta, err := ReadMetadata(bytes.NewReader(file))
		if err != nil {
			oneLine(t, "fuzz", err)
			return
		}
		var again bytes.Buffer
		if err := EncodePNG(&again, image.NewGray(image.Rect(0, 0, 1, 1)), meta); err != nil {
			t.Fatal(err)
		}
		got, err := ReadMetadata(&again)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, meta.WithoutFolders()) {
			t.Fatalf("%+v reads back as %+v", meta, got)
		}
	})
}
