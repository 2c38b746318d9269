package picture

import (
	"regexp"
	"strings"
)

// AUTOMATIC1111 and many other programs write a text of three parts: the prompt, in any number of lines; "Negative
// prompt: …", also in any number of lines; and one line such as "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1,
// Size: 512x512, …". JPEG and WebP files have it in Exif's UserComment.

var (
	// parameter matches one "name: value" of the last line. A value that contains a comma is quoted.
	parameter = regexp.MustCompile(`\s*([\w][\w \-/]*):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)`)
	// adapterTag matches the tag of an adapter in a prompt.
	adapterTag = regexp.MustCompile(`<(lora|lyco|hypernet):([^:<>]*)[^<>]*>`)
)

const negativePrefix = "Negative prompt:"

// readParameters parses the text of AUTOMATIC1111.
func readParameters(value string) (Origin, error) {
	o := Origin{Program: "AUTOMATIC1111 or alike"}
	lines := strings.Split(strings.ReplaceAll(value, "\r\n", "\n"), "\n")
	at := settingsLine(lines)
	if at < 0 {
		return Origin{}, ErrNoMetadata
	}
	var positive, negative []string
	into := &positive
	for _, line := range lines[:at] {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), negativePrefix); ok {
			into, line = &negative, rest
		}
		*into = append(*into, line)
	}
	prompt := strings.Join(positive, "\n")
	for _, tag := range adapterTag.FindAllStringSubmatch(prompt, -1) {
		o.ignore("adapter", tag[2])
	}
	o.prompt(adapterTag.ReplaceAllString(prompt, ""), strings.TrimSpace(strings.Join(negative, "\n")))
	for _, p := range parameter.FindAllStringSubmatch(lines[at], -1) {
		name, value := strings.TrimSpace(p[1]), strings.Trim(strings.TrimSpace(p[2]), `"`)
		switch strings.ToLower(name) {
		case "steps":
			o.steps(value)
		case "seed":
			o.seed(value)
		case "size":
			width, height, _ := strings.Cut(value, "x")
			o.size(width, height)
		case "version":
			if strings.HasPrefix(value, programName) {
				o.Program = programName
			}
		default:
			o.ignore(name, value)
		}
	}
	return o, nil
}

// settingsLine returns the index of the line of settings: the last line that begins with "Steps: ", or else the last
// non-empty line if it has at least three settings, one of which is the seed. It returns -1 if there is no such line.
func settingsLine(lines []string) int {
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.HasPrefix(strings.TrimSpace(lines[i]), "Steps: ") {
			return i
		}
	}
	last := len(lines) - 1
	for last > 0 && strings.TrimSpace(lines[last]) == "" {
		last--
	}
	if len(parameter.FindAllString(lines[last], -1)) >= 3 && strings.Contains(lines[last], "Seed: ") {
		return last
	}
	return -1
}
