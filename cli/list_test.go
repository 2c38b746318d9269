package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// in lists the files in a folder.
func in(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// photos makes a folder of pictures, one of which is damaged, with a file that is none and a folder below it.
func photos(t *testing.T) {
	t.Helper()
	if err := os.MkdirAll("photos/below", 0o777); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"photo 2.png", "photo 10.png", "photo 3.png"} {
		writePicture(t, filepath.Join("photos", name), 64+16*i, 64)
	}
	writePicture(t, "photos/below/deep.png", 64, 64)
	writeFile(t, "photos/photo 4.png", string(readFile(t, "photos/photo 2.png")[:100]))
	writeFile(t, "photos/notes.txt", "no picture")
}

// TestListOfFolder gives one instruction for all pictures of a folder. What cannot be read stops none of the others;
// the same command makes what is missing and nothing else, and each picture is that of a command of its own.
func TestListOfFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	photos(t)
	writePicture(t, "style.png", 80, 80)
	args := small(t, "-p", "winter", "-s", "7", "-i", "style.png", "-i", "photos/", "-o", "made")
	got := call("", args...)
	if got.code != exitFailure || !strings.HasSuffix(got.err,
		"kleinbild: 1 of 4 pictures failed: photo 4.png; the same command tries them again\n") {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
	if want := "made/photo 2.png\nmade/photo 3.png\nmade/photo 10.png\n"; got.out != want {
		t.Errorf("standard output %q, want %q", got.out, want)
	}
	for _, want := range []string{
		"note: image 2 is each of the 4 pictures in photos/\n", "note: photos/: no pictures, and skipped: notes.txt\n",
		"1 of 4: photos/photo 2.png, ", "3 of 4: photos/photo 4.png failed: ", "the file is damaged",
		"4 of 4: photos/photo 10.png, ", "3 pictures made in ", ", 1 failed\n", "; about ",
	} {
		if !strings.Contains(got.err, want) {
			t.Errorf("standard error lacks %q:\n%s", want, got.err)
		}
	}
	if files := in(t, "made"); files != "photo 10.png photo 2.png photo 3.png" {
		t.Errorf("files %s", files)
	}
	mustMake(t, small(t, "-p", "winter", "-s", "7", "-i", "style.png", "-i", "photos/photo 10.png", "-o", "one.png")...)
	if !bytes.Equal(readFile(t, "one.png"), readFile(t, "made/photo 10.png")) {
		t.Error("another picture than that of a command of its own")
	}

	before, err := os.Stat("made/photo 2.png")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove("made/photo 3.png"); err != nil {
		t.Fatal(err)
	}
	writePicture(t, "photos/photo 4.png", 96, 96)
	got = mustMake(t, args...)
	if want := "made/photo 3.png\nmade/photo 4.png\n"; got.out != want {
		t.Errorf("the second time %q, want %q", got.out, want)
	}
	if !strings.Contains(got.err, "4 pictures, 2 of them already there") || !strings.Contains(got.err, "\n3 of 4: ") {
		t.Errorf("standard error %s", got.err)
	}
	if after, err := os.Stat("made/photo 2.png"); err != nil || !os.SameFile(before, after) {
		t.Errorf("a picture that is there was made again: %v", err)
	}
}

// TestListOfPrompts compares the pictures of lines with those of commands that have the same flags.
func TestListOfPrompts(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "photo.png", 96, 64)
	writePicture(t, "mask.png", 96, 64)
	writeFile(t, "list.jsonl", "\uFEFF"+`{"prompt":"a fox","seed":7}
a plain line`+"\r\n\n"+`
{"prompt":"winter","references":["photo.png"],"aspect":"match","seed":"8","output":"own.jpg"}
{"prompt":"-","seed":18446744073709551615,"width":80,"height":64,"steps":2,"guidance":null}
{"prompt":"a door","images":"photo.png","size":"match","mask":"mask.png","strength":0.5,"feather":1,"seed":3,"steps":2,
`)
	list := strings.TrimSuffix(string(readFile(t, "list.jsonl")), ",\n") + `,"match_colours":false,"area":[0,0,96,64]}` +
		"\n" + `{"n":2,"prompt":"two","seed":5}` + "\n"
	args := []string{"generate", "-m", model(t, "distilled"), "--precision", "float32", "--size", "64x64", "--steps", "1",
		"-o", "made/{number}-{name}.png", "--prompts", "-"}
	got := call(list, args...)
	if got.code != exitOK {
		t.Fatalf("exit code %d: %s", got.code, got.err)
	}
	made := strings.Fields(got.out)
	if want := "made/1-a-fox.png made/2-a-plain-line.png own.jpg made/6-kleinbild.png made/7-a-door.png " +
		"made/8-two-5.png made/8-two-6.png"; strings.Join(made, " ") != want {
		t.Fatalf("%q, want %s", made, want)
	}
	plain, err := picture.ReadMetadataFile(made[1])
	if err != nil || plain.Prompt != "a plain line" {
		t.Fatalf("%+v, %v", plain, err)
	}
	for i, flags := range [][]string{
		{"-p", "a fox", "-s", "7"},
		{"-p", "a plain line", "-s", fmt.Sprint(plain.Seed)},
		{"-p", "winter", "-s", "8", "-i", "photo.png", "-a", "match"},
		{"-s", "18446744073709551615", "--size", "80x64", "--steps", "2"},
		{"-p", "a door", "-s", "3", "-i", "photo.png", "-a", "match", "--mask", "mask.png", "--strength", "0.5", "--feather",
			"1", "--match-colours", "off", "--area", "0,0,96,64", "--steps", "2"},
		{"-p", "two", "-s", "5"},
		{"-p", "two", "-s", "6"},
	} {
		one := "one" + filepath.Ext(made[i])
		command := append([]string{"generate", "-m", model(t, "distilled"), "--precision", "float32", "-o", one}, flags...)
		if !slices.Contains(flags, "-a") && !slices.Contains(flags, "--size") {
			command = append(command, "--size", "64x64")
		}
		if !slices.Contains(flags, "--steps") {
			command = append(command, "--steps", "1")
		}
		if i == 3 { // on the command line a lone - is standard input
			if got := call("-", append(command, "-p", "-")...); got.code != exitOK {
				t.Fatal(got.err)
			}
		} else {
			mustMake(t, command...)
		}
		if !bytes.Equal(readFile(t, one), readFile(t, made[i])) {
			t.Errorf("%s is another picture than that of %q", made[i], flags)
		}
	}
	if got := call(list, args...); got.code != exitOK || got.out != "" || !strings.Contains(got.err, "7 already there") {
		t.Errorf("the second time: exit code %d, %q, %s", got.code, got.out, got.err)
	}
}

// TestListJSON checks the reports of --json.
func TestListJSON(t *testing.T) {
	t.Chdir(t.TempDir())
	got := call("one\ntwo\n", small(t, "--prompts", "-", "-o", "made/", "--json")...)
	for i, line := range strings.Split(strings.TrimSpace(got.out), "\n") {
		var r struct {
			Path, Prompt string
			Seconds      float64
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Prompt != []string{"one", "two"}[i] || r.Seconds <= 0 {
			t.Errorf("line %d: %q: %v", i, line, err)
		}
	}
}

// TestListIsChecked checks that nothing is made, and no folder either, if a line or the command is wrong, and that the
// message names the line.
func TestListIsChecked(t *testing.T) {
	t.Chdir(t.TempDir())
	photos(t)
	writePicture(t, "one.png", 64, 64)
	writeFile(t, "empty.txt", "\n \n")
	for _, row := range []struct {
		name, list string // of --prompts -, "" for none
		args       []string
		want       string
	}{
		{"unknown field", "fine\n{\"prompt\":\"x\",\"stepz\":4}\n", nil,
			`standard input: line 2: unknown field "stepz", want one of prompt, references, aspect, size, `},
		{"a value beyond its limits", "\n{\"prompt\":\"x\",\"steps\":0}", nil,
			"standard input: line 2: steps: found 0, want a whole number from 1 to 1000"},
		{"a flag beyond its limits", "x", []string{"--steps", "0"},
			"standard input: line 1: --steps: found 0, want a whole number from 1 to 1000"},
		{"a value of another kind", `{"prompt":7}`, nil, "line 1: prompt: found 7, want a string"},
		{"a seed of another kind", `{"prompt":"x","seed":true}`, nil, "line 1: seed: found true, want a whole number"},
		{"an empty number", `{"prompt":"x","steps":""}`, nil, `line 1: steps: found "", want a whole number`},
		{"a random seed", `{"prompt":"x","seed":-1}`, nil, "line 1: seed: found -1, want a number: "},
		{"a random seed by flag", "x", []string{"-s", "-1"}, "line 1: --seed: found -1, want a number: "},
		{"two sizes", `{"prompt":"x","aspect":"square","size":"64x64"}`, nil,
			"line 1: size: found an aspect ratio as well, want one of both"},
		{"a width alone", `{"prompt":"x","width":64}`, nil, "found one of width and height, want both"},
		{"a size twice", `{"prompt":"x","width":64,"height":64,"size":"64x64"}`, nil, "width and height beside another size"},
		{"a bad width", `{"prompt":"x","width":65,"height":64}`, nil, "line 1: width and height: found 65x64, want "},
		{"a name twice", `{"prompt":"x","prompt":"y"}`, nil, `line 1: found "prompt" twice`},
		{"two names", `{"prompt":"x","images":["one.png"],"references":[]}`, nil,
			"line 1: found references together with images, which means the same"},
		{"half an object", `{"prompt":"x"`, nil, "line 1: found the beginning of a JSON object"},
		{"no JSON", `{prompt}`, nil, "line 1: no JSON object: "},
		{"two objects", `{"prompt":"x"} {}`, nil, `line 1: found "{}" behind the JSON object`},
		{"no UTF-8", "fine\n\xff\xfe", nil, "line 2: found bytes that are not UTF-8"},
		{"no prompt", `{"seed":1}`, nil, "line 1: no prompt: give -p TEXT"},
		{"a file that is not there", `{"prompt":"x","references":["gone.png"]}`, nil, "line 1: "},
		{"a folder in a line", `{"prompt":"x","references":["photos"]}`, nil, "line 1: photos: found a folder, want "},
		{"a mask that is not there", `{"prompt":"x","references":["one.png"],"size":"match","mask":"gone.png"}`, nil,
			"gone.png"},
		{"too many references", `{"prompt":"x","images":["a","a","a","a","a"]}`, nil,
			"line 1: images: found 5 reference pictures, want at most 4"},
		{"an unknown LoRA", `{"prompt":"x","loras":[{"name":"gone","strength":0.5}]}`, nil, "line 1: --lora gone:0.5: "},
		{"a LoRA with another field", `{"prompt":"x","loras":[{"name":"gone","scale":1}]}`, nil, "line 1: loras: found "},
		{"several", "{\"prompt\":\"x\",\"steps\":0}\n{\"prompt\":\"x\",\"steps\":0}\n{\"prompt\":\"x\",\"steps\":-1}", nil,
			"line 1: steps: found 0, want a whole number from 1 to 1000 (and 2 more lines)"},
		{"output on standard output", `{"prompt":"x","output":"-"}`, nil, `line 1: output: found "-", want the name`},
		{"two pictures of one name", "a\nb", []string{"-o", "made/all.png"}, "-o made/all.png: would be the picture of " +
			"standard input: line 1 and of standard input: line 2, want a folder"},
		{"an unknown part", "a", []string{"-o", "made/{title}.png"}, "found {title}, want {name}, {number} or {seed}"},
		{"standard output", "a", []string{"-o", "-"}, "-o -: found a list of pictures, want one picture"},
		{"noise", "a", []string{"--noise", "n.safetensors"}, "--noise goes with one picture"},
		{"standard input twice", "a", []string{"-p", "-"}, "would both read standard input"},
		{"a folder as well", "a", []string{"-i", "photos"}, "--prompts and the folder -i photos exclude each other"},
		{"no output", "", []string{"-p", "x", "-i", "photos", "-o", ""}, "found no -o, want a folder, such as -o made/"},
		{"two folders", "", []string{"-p", "x", "-i", "photos", "-i", "photos/below"}, "found two folders, photos and "},
		{"a folder without pictures", "", []string{"-p", "x", "-i", "none"}, "the folder none: found no picture"},
		{"into the folder itself", "", []string{"-p", "x", "-i", "photos", "-o", "./photos/{name}-new.png"},
			"found the folder of the pictures, want another one"},
		{"a flag over a folder", "", []string{"-p", "x", "-i", "photos", "--steps", "0"}, "kleinbild: --steps: found 0"},
		{"a file without lines", "", []string{"--prompts", "empty.txt"}, "empty.txt: found no line"},
		{"no file", "", []string{"--prompts", "gone.txt"}, "gone.txt"},
		{"a bad count", `{"prompt":"x","n":0}`, nil, "line 1: --count 0, want 1 to 1000"},
	} {
		if err := os.MkdirAll("none", 0o777); err != nil {
			t.Fatal(err)
		}
		before := strings.Join(names(t), " ")
		args := []string{"generate", "-m", model(t, "distilled"), "-o", "made/"}
		if row.list != "" {
			args = append(args, "--prompts", "-")
		}
		if slices.Contains(row.args, "-o") && row.args[len(row.args)-1] == "" {
			args, row.args = slices.Delete(args, 3, 5), row.args[:len(row.args)-2]
		}
		got := call(row.list, append(args, row.args...)...)
		if got.code == exitOK || !strings.Contains(errorLine(t, got), row.want) {
			t.Errorf("%s: exit code %d, %s, want %s", row.name, got.code, got.err, row.want)
		}
		if after := strings.Join(names(t), " "); after != before {
			t.Errorf("%s: files %s, before %s", row.name, after, before)
		}
	}
}

// TestListKeepsOthers checks that a file that is there and was not made for the list is neither replaced nor taken for
// its picture, unless --overwrite is given.
func TestListKeepsOthers(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "a.png", 64, 64)
	if err := os.Mkdir("photos", 0o777); err != nil {
		t.Fatal(err)
	}
	writePicture(t, "photos/house.png", 96, 64)
	base := func(more ...string) []string {
		return append([]string{"generate", "-m", model(t, "distilled"), "--precision", "float32", "-s", "7",
			"-i", "photos", "-o", "made/"}, more...)
	}
	usual := []string{"-p", "winter", "--steps", "1", "-a", "match"}
	mustMake(t, base(usual...)...)
	kept := readFile(t, "made/house.png")
	for _, row := range []struct {
		name string
		do   func()
		args []string
		want string
	}{
		{"another prompt", nil, []string{"-p", "summer", "--steps", "1", "-a", "match"}, "another prompt or seed"},
		{"another seed", nil, append(usual, "-s", "8"), "another prompt or seed"},
		{"another number of steps", nil, []string{"-p", "winter", "--steps", "2", "-a", "match"}, "another number of steps"},
		{"another size", nil, []string{"-p", "winter", "--steps", "1", "--size", "64x64"}, "another size"},
		{"another precision", nil, append(usual, "--precision", "bf16"), "another precision"},
		{"another model", nil, append(usual, "-m", model(t, "base"), "--guidance", "1"), "another model"},
		{"a further reference", nil, append(usual, "-i", "a.png"), "another set of references"},
		{"an edit", nil, append(usual[:4:4], "--strength", "0.9"), "another edit"},
		{"another photo", func() { writePicture(t, "photos/house.png", 96, 80) }, usual, "another set of references"},
	} {
		if row.do != nil {
			row.do()
		}
		got := call("", base(row.args...)...)
		if got.code != exitUsage || !strings.Contains(got.err, "kleinbild: made/house.png: found a file that is not the "+
			"picture of photos/house.png, because it was made ") || !strings.Contains(got.err, row.want) {
			t.Errorf("%s: exit code %d: %s", row.name, got.code, got.err)
		}
		if !bytes.Equal(readFile(t, "made/house.png"), kept) {
			t.Fatalf("%s: the file was replaced", row.name)
		}
	}
	mustMake(t, base(append(usual, "--overwrite")...)...)
	if bytes.Equal(readFile(t, "made/house.png"), kept) {
		t.Error("--overwrite replaces nothing")
	}
	if got := mustMake(t, base(append(usual, "--overwrite")...)...); got.out != "" {
		t.Errorf("--overwrite makes what is there again: %s", got.out)
	}
	writeFile(t, "made/house.png", "my own")
	got := call("", base(usual...)...)
	if got.code != exitUsage || !strings.Contains(got.err, "no picture of Kleinbild") ||
		string(readFile(t, "made/house.png")) != "my own" {
		t.Errorf("a file of somebody's: exit code %d: %s", got.code, got.err)
	}
}

// TestListOfEdits checks that pictures with masks, in formats without room for the mask too, are known again.
func TestListOfEdits(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("photos", 0o777); err != nil {
		t.Fatal(err)
	}
	writePicture(t, "photos/a.png", 96, 64)
	mask := image.NewGray(image.Rect(0, 0, 60, 50))
	for i := range 300 {
		mask.Pix[60*10+i] = 255
	}
	var file bytes.Buffer
	if err := png.Encode(&file, mask); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "mask.png", file.String())
	for name, edit := range map[string][]string{
		"mask.png": {"--mask", "mask.png"}, "mask.jpg": {"--mask", "mask.png", "--source", "hidden"},
		"mask.webp": {"--mask", "mask.png", "--whole"}, "extend.tif": {"--extend", "0,0,16,0", "--feather", "2"},
		"strength.png": {"--strength", "0.5"}, "kept.png": {"--keep-unchanged", "0.5"},
	} {
		args := append([]string{"generate", "-m", model(t, "distilled"), "--steps", "2", "-p", "x", "-i", "photos",
			"-o", "made/{name}-{seed}-" + name}, edit...)
		if got := mustMake(t, args...); strings.Count(got.out, "\n") != 1 {
			t.Errorf("%s: %q, want a picture", name, got.out)
		}
		if got := mustMake(t, args...); got.out != "" || !strings.Contains(got.err, "1 already there") {
			t.Errorf("%s: the second time %q: %s", name, got.out, got.err)
		}
	}
}

// TestListNames checks the names of pictures that would be the same.
func TestListNames(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("photos", 0o777); err != nil {
		t.Fatal(err)
	}
	writePicture(t, "photos/house.png", 64, 64)
	writeFile(t, "photos/house.JPG", string(readFile(t, "photos/house.png")))
	writeFile(t, "photos/{seed}.png", string(readFile(t, "photos/house.png")))
	for _, row := range []struct {
		list string // of --prompts -, "" for the folder
		args []string
		want string
	}{
		{"", []string{"-o", "a"}, "house-JPG.png house-png.png {seed}.png"},
		{"", []string{"-o", "b/x-{number}.webp"}, "x-1.webp x-2.webp x-3.webp"},
		{"", []string{"-o", "c/", "-n", "2"},
			"house-JPG-7.png house-JPG-8.png house-png-7.png house-png-8.png {seed}-7.png {seed}-8.png"},
		{"A fox!\na fox\n\n{\"prompt\":\"a fox\",\"seed\":9}", []string{"-o", "d/"}, "a-fox-7-2.png a-fox-7.png a-fox-9.png"},
		{"x\n\n\n\n\n\n\n\n\ny", []string{"-o", "e/{number}.png"}, "01.png 10.png"},
		{"x", []string{"-o", "f/alone.png"}, "alone.png"},
		{"x", []string{"-o", "g/", "-n", "3"}, "x-7.png x-8.png x-9.png"},
	} {
		args := append(small(t, "-s", "7"), row.args...)
		if row.list == "" {
			args = append(args, "-p", "x", "-i", "photos")
		} else {
			args = append(args, "--prompts", "-")
		}
		got := call(row.list, args...)
		dir := strings.SplitN(row.args[1], "/", 2)[0]
		if files := in(t, dir); got.code != exitOK || files != row.want {
			t.Errorf("%q: exit code %d, files %s, want %s: %s", row.args, got.code, files, row.want, got.err)
		}
		if again := call(row.list, args...); again.code != exitOK || again.out != "" {
			t.Errorf("%q: the second time: exit code %d, %q", row.args, again.code, again.out)
		}
	}
}

// TestListSeeds checks that seeds follow from prompts: the same list gives the same pictures, lines with one prompt
// give different ones, and a line that is added changes none of the others.
func TestListSeeds(t *testing.T) {
	t.Chdir(t.TempDir())
	first := call("a fox\na cat\na fox\n", small(t, "--prompts", "-", "-o", "one/")...)
	second := call("a dog\na fox\na cat\na fox\n", small(t, "--prompts", "-", "-o", "one/")...)
	if first.code != exitOK || strings.Count(first.out, "\n") != 3 || strings.Count(second.out, "\n") != 1 ||
		!strings.HasPrefix(second.out, "one/a-dog-") {
		t.Errorf("%q, then %q: %s", first.out, second.out, second.err)
	}
}

// TestListLike takes the settings of a picture as the defaults of a list.
func TestListLike(t *testing.T) {
	t.Chdir(t.TempDir())
	mustMake(t, small(t, "-p", "a red fox", "-s", "7", "-o", "fox.png")...)
	got := call("{}\n{\"prompt\":\"a cat\"}\n",
		"generate", "-m", model(t, "distilled"), "--like", "fox.png", "--prompts", "-", "-o", "made/")
	if got.code != exitOK || !bytes.Equal(readFile(t, "fox.png"), readFile(t, "made/kleinbild-7.png")) {
		t.Fatalf("exit code %d: %s", got.code, got.err)
	}
	meta, err := picture.ReadMetadataFile("made/a-cat-7.png")
	if err != nil || meta.Seed != 7 || meta.Width != 64 || meta.Steps != 1 || meta.Prompt != "a cat" {
		t.Errorf("%+v, %v", meta, err)
	}
}

// TestListProgress checks what is told of a list of pictures that take known times.
func TestListProgress(t *testing.T) {
	var log strings.Builder
	now := time.Unix(0, 0)
	p := newListProgress(&log, 40, 28)
	p.now = func() time.Time { return now }
	d := p.begin("a.jpg")
	tell := func(after time.Duration, progress inference.Progress) string {
		now = now.Add(after)
		log.Reset()
		d.update(progress)
		return log.String()
	}
	step := inference.Progress{Stage: inference.StageSteps, Step: 1, Total: 4}
	if got := tell(9*time.Second, step); got != "" {
		t.Errorf("%q before its time", got)
	}
	if got := tell(time.Second, step); got != "13 of 40: a.jpg: steps 1/4\n" {
		t.Errorf("without an estimate %q", got)
	}
	step.Elapsed, step.Remaining = 10*time.Second, 20*time.Second
	// 20 s for this one, and 30 s for each of the 27 others
	if got := tell(10*time.Second, step); got != "13 of 40, about 14 min left: a.jpg: steps 1/4\n" {
		t.Errorf("the first picture %q", got)
	}
	if got := p.ended(40 * time.Second); got != "; about 18 min left" { // 27 of 40 s
		t.Errorf("after the first picture %q", got)
	}
	if got := p.ended(0); got != "; about 17 min left" { // one that failed says nothing of the others
		t.Errorf("after a failure %q", got)
	}
	p.ended(20 * time.Second) // 25 more, of 30 s
	d, step.Remaining = p.begin("b.jpg"), 5*time.Second
	if got := tell(10*time.Second, step); got != "16 of 40, about 12 min left: b.jpg: steps 1/4\n" {
		t.Errorf("the fourth picture %q", got)
	}
	for range 24 {
		p.ended(time.Second)
	}
	if got := p.ended(time.Second); got != "" || p.done != 40 {
		t.Errorf("at the end %q, %d done", got, p.done)
	}
	for d, want := range map[time.Duration]string{
		0: "about 1 s left", 89 * time.Second: "about 89 s left", 90 * time.Second: "about 2 min left",
		89 * time.Minute: "about 89 min left", 90 * time.Minute: "about 1 h 30 min left",
		25*time.Hour + 4*time.Minute: "about 25 h 04 min left",
	} {
		if got := aboutLeft(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// flaky is an engine with faults: it fails as often as failures says for each picture, with err.
type flaky struct {
	inference.Generator
	err      error
	failures int
	calls    int
}

func (f *flaky) Generate(
	ctx context.Context, req inference.Request, progress func(inference.Progress),
) (*inference.Result, error) {
	f.calls++
	if f.calls <= f.failures {
		return nil, f.err
	}
	return f.Generator.Generate(ctx, req, progress)
}

// passing is a fault that passes.
type passing struct{ error }

func (passing) Retryable() bool { return true }

// TestListFaults checks which faults are tried again, which end the list, and which leave the other pictures alone.
func TestListFaults(t *testing.T) {
	wait := retryAfter
	retryAfter = time.Millisecond
	t.Cleanup(func() { retryAfter = wait })
	for _, row := range []struct {
		name               string
		err                error
		failures           int
		made, lost, called int
		ends               bool
	}{
		{"a fault that passes", passing{errors.New("cut")}, 3, 3, 0, 6, false},
		{"a fault that stays", passing{errors.New("cut")}, 100, 0, 0, 4, true},
		{"a picture that fails", errors.New("too large"), 1, 2, 1, 3, false},
		{"a model that is gone", &inference.UnreadableError{}, 1, 0, 0, 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			var log strings.Builder
			s := Streams{In: strings.NewReader("a\nb\nc\n"), Out: io.Discard, Err: &log}
			one, size := 1, "64x64"
			c := &generateCommand{Prompts: "-", Output: "made/", Size: size, Count: one, Steps: "1"}
			c.Model, c.Device = model(t, "distilled"), "cpu"
			l, err := c.readList(t.Context(), s, -1)
			if err != nil {
				t.Fatal(err)
			}
			engine, err := l.shared.open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer engine.Close()
			if err := errors.Join(l.findMissing(t.Context(), engine.Info()), l.prepareFolders()); err != nil {
				t.Fatal(err)
			}
			f := &flaky{Generator: engine, err: row.err, failures: row.failures}
			run := &listRun{list: l, Streams: s, engine: f, todo: 3, progress: newListProgress(&log, 3, 3)}
			err = run.all(t.Context())
			if (err != nil) != row.ends || row.ends && !errors.Is(err, row.err) {
				t.Errorf("the error is %v", err)
			}
			if run.made != row.made || run.lost != row.lost || f.calls != row.called {
				t.Errorf("%d made, %d lost, %d calls, want %d, %d, %d:\n%s",
					run.made, run.lost, f.calls, row.made, row.lost, row.called, log.String())
			}
		})
	}
}
