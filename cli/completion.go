package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/models"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a script that completes commands, flags and their values, for kleinbild and kleinbild-cli.
func (c completionCommand) Run(s Streams, model *kong.Application) error {
	write := map[string]func(io.Writer, []completion) error{
		"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion,
	}[c.Shell]
	return write(s.Out, completions(model.Node, nil))
}

// completion is a command and the words that may follow it.
type completion struct {
	path     []string // "models", "get"; empty for the program itself
	commands []*kong.Node
	flags    []*kong.Flag
	first    *kong.Positional // the command's argument, nil if it has none
}

// argument returns what completes the command's argument, as values does.
func (c completion) argument() (kind, words string) {
	if c.first == nil {
		return "", ""
	}
	return values(c.first)
}

// completions lists node and the visible commands below it, node first. path is the path of node.
func completions(node *kong.Node, path []string) (list []completion) {
	c := completion{path: path}
	if len(node.Positional) > 0 {
		c.first = node.Positional[0]
	}
	for _, f := range node.AllFlags(true) {
		c.flags = append(c.flags, f...)
	}
	for _, child := range node.Children {
		if !child.Hidden {
			c.commands = append(c.commands, child)
		}
	}
	list = append(list, c)
	for _, child := range c.commands {
		list = append(list, completions(child, append(slices.Clone(path), child.Name))...)
	}
	return list
}

// pattern is the path as the scripts write it: "/models/get", or "" for the program itself.
func (c completion) pattern() string {
	if len(c.path) == 0 {
		return ""
	}
	return "/" + strings.Join(c.path, "/")
}

// paths are the patterns of all commands in list, which begins with the program itself.
func paths(list []completion) (all []string) {
	for _, c := range list[1:] {
		all = append(all, c.pattern())
	}
	return all
}

// words are the names of the commands and flags that may come next, separated by spaces.
func (c completion) words() string {
	var words []string
	for _, command := range c.commands {
		words = append(words, command.Name)
	}
	for _, flag := range c.flags {
		words = append(words, "--"+flag.Name)
		if flag.Short != 0 {
			words = append(words, "-"+string(flag.Short))
		}
	}
	return strings.Join(words, " ")
}

const bashHead = `_kleinbild_models() {
    local folder name
    for folder in "${XDG_DATA_HOME:-$HOME/.local/share}"/kleinbild/models/*/; do
        name="${folder%%/}"; name="${name##*/}"; name="${name%%.part}"
        case "$name" in *[!A-Za-z0-9._-]*) ;; *) echo "$name" ;; esac
    done
}
_kleinbild() {
    local word path="" current="${COMP_WORDS[COMP_CWORD]}" flag="${COMP_WORDS[COMP_CWORD-1]}" next=""
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$path/$word" in
            %s) path="$path/$word" ;;
        esac
    done
    # --flag=VALUE is three words.
    if [[ "$current" == "=" ]]; then
        current=""
    elif [[ "$flag" == "=" ]]; then
        flag="${COMP_WORDS[COMP_CWORD-2]}"
    fi
    case "$path:$flag" in
`

const bashTail = `        *)
            case "$path" in
%s            esac ;;
    esac
    COMPREPLY=($(compgen -W "$next" -- "$current"))
}
complete -o default -F _kleinbild kleinbild kleinbild-cli
`

func bashCompletion(w io.Writer, list []completion) error {
	fmt.Fprintf(w, bashHead, strings.Join(paths(list), "|"))
	writeValues(w, list, map[string]string{
		// The empty list would let bash offer files, as it should for values that are files.
		"":      "COMPREPLY=(); compopt +o default 2>/dev/null; return",
		"files": "COMPREPLY=(); return", "models": "next=\"%s $(_kleinbild_models)\"", "words": "next=\"%s\"",
	}, "        %s) %s ;;\n")
	_, err := fmt.Fprintf(w, bashTail, nextWords(list, "                %s) next=\"%s%s\" ;;\n"))
	return err
}

const zshHead = `#compdef kleinbild kleinbild-cli
_kleinbild_models() {
    local folder name
    for folder in "${XDG_DATA_HOME:-$HOME/.local/share}"/kleinbild/models/*/(N); do
        name="${${${folder%%/}##*/}%%.part}"
        [[ "$name" == *[^A-Za-z0-9._-]* ]] || echo "$name"
    done
}
_kleinbild() {
    local word path_="" next="" flag="${words[CURRENT-1]}"
    for word in "${words[@]:1:$((CURRENT-2))}"; do
        case "$path_/$word" in
            (%s) path_="$path_/$word" ;;
        esac
    done
    if [[ "$PREFIX" == --*=* ]]; then
        flag="${PREFIX%%%%=*}"
        compset -P '*='
    fi
    case "$path_:$flag" in
`

const zshTail = `        (*)
            case "$path_" in
%s            esac
            [[ "$PREFIX" == -* ]] || _files ;;
    esac
    compadd -- ${=next}
}
compdef _kleinbild kleinbild kleinbild-cli
[[ "${funcstack[1]}" == _kleinbild ]] && _kleinbild
`

func zshCompletion(w io.Writer, list []completion) error {
	fmt.Fprintf(w, zshHead, strings.Join(paths(list), "|"))
	writeValues(w, list, map[string]string{
		"": "return", "files": "_files; return",
		"models": "next=\"%s $(_kleinbild_models)\"; _files", "words": "next=\"%s\"",
	}, "        (%s) %s ;;\n")
	_, err := fmt.Fprintf(w, zshTail, nextWords(list, "                (%s) next=\"%s%s\" ;;\n"))
	return err
}

// writeValues writes a case for each kind of values, in which format has the case's pattern and what is done. do holds
// what is done, by kind; %s in it are the words.
func writeValues(w io.Writer, list []completion, do map[string]string, format string) {
	patterns := map[string][]string{} // by what is done
	for _, c := range list {
		for _, flag := range c.flags {
			if flag.IsBool() {
				continue
			}
			kind, words := values(flag.Value)
			done := do[kind]
			if strings.Contains(done, "%s") {
				done = fmt.Sprintf(done, words)
			}
			patterns[done] = append(patterns[done], c.pattern()+":--"+flag.Name)
			if flag.Short != 0 {
				patterns[done] = append(patterns[done], c.pattern()+":-"+string(flag.Short))
			}
		}
	}
	for _, done := range slices.Sorted(maps.Keys(patterns)) {
		fmt.Fprintf(w, format, strings.Join(patterns[done], "|"), done)
	}
}

// nextWords returns a case for the words that may follow each command. format has the case's pattern, the names of
// commands and flags, and the values of an argument.
func nextWords(list []completion, format string) string {
	var b strings.Builder
	for _, c := range list {
		pattern := c.pattern()
		if pattern == "" {
			pattern = `""`
		}
		arguments := ""
		switch kind, words := c.argument(); kind {
		case "words":
			arguments = " " + words
		case "models":
			arguments = " " + words + " $(_kleinbild_models)"
		}
		fmt.Fprintf(&b, format, pattern, c.words(), arguments)
	}
	return b.String()
}

const fishHead = `function __kleinbild_at
    set -l at ""
    for word in (commandline -opc)[2..]
        switch "$at/$word"
            case %s
                set at "$at/$word"
        end
    end
    test "$at" = "$argv[1]"
end
function __kleinbild_models
    set -l data $XDG_DATA_HOME
    test -n "$data"; or set data ~/.local/share
    for folder in $data/kleinbild/models/*/
        string replace -r '\.part$' '' (basename $folder) | string match -r '^[A-Za-z0-9._-]+$'
    end
end
`

func fishCompletion(w io.Writer, list []completion) error {
	fmt.Fprintf(w, fishHead, strings.Join(paths(list), " "))
	quote := func(text string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
	}
	offer := func(kind, words string) string {
		switch kind {
		case "words":
			return "-f -a " + quote(words)
		case "models":
			return "-a " + quote(words+" (__kleinbild_models)")
		case "files":
			return "-F"
		}
		return "-f"
	}
	for _, c := range list {
		when := quote(fmt.Sprintf("__kleinbild_at %q", c.pattern()))
		for _, command := range c.commands {
			fmt.Fprintf(w, "complete -c kleinbild -f -n %s -a %s -d %s\n", when, command.Name, quote(command.Help))
		}
		if kind, words := c.argument(); kind != "" {
			fmt.Fprintf(w, "complete -c kleinbild -n %s %s\n", when, offer(kind, words))
		}
		for _, flag := range c.flags {
			short, value := "", ""
			if flag.Short != 0 {
				short = " -s " + string(flag.Short)
			}
			if !flag.IsBool() {
				value = " -r " + offer(values(flag.Value))
			}
			fmt.Fprintf(w, "complete -c kleinbild -n %s -l %s%s%s -d %s\n",
				when, flag.Name, short, value, quote(flag.Help))
		}
	}
	_, err := io.WriteString(w, "complete -c kleinbild-cli -w kleinbild\n")
	return err
}

// values returns what completes a value of a flag or an argument: "words" for the words, which are separated by spaces;
// "models" for the words, the models in the user's folder, and files, since a model can be a folder; "files"; or "" if
// nothing can be offered, as for numbers.
func values(v *kong.Value) (kind, words string) {
	join := func(list ...string) string { return strings.Join(list, " ") }
	if v.Enum != "" {
		return "words", join(v.EnumSlice()...)
	}
	if v.Tag.PlaceHolder == "UPSCALER" {
		return "models", join(inference.Upscalers...)
	}
	switch v.Name {
	case "aspect":
		var list []string
		for _, a := range picture.AspectRatios() {
			list = append(list, string(a))
		}
		return "words", join(list...)
	case "precision":
		var list []string
		for _, p := range inference.Precisions {
			list = append(list, string(p))
		}
		return "words", join(list...)
	case "variant":
		var list []string
		for _, v := range inference.Variants {
			list = append(list, string(v))
		}
		return "words", join(list...)
	case "model", "refine-model":
		return "models", join(append(catalogueNames(), "demo")...)
	case "name": // of the commands below models
		return "models", join(catalogueNames()...)
	case "to":
		return "words", join(inference.ConvertKinds()...)
	case "script":
		return "files", ""
	}
	if v.Name == "device" {
		return "words", join(string(inference.DeviceAuto), string(inference.DeviceCPU),
			string(inference.DeviceCUDA), string(inference.DeviceSim))
	}
	placeholder := v.Tag.PlaceHolder
	if placeholder == "FILE" || placeholder == "DIR" || placeholder == "PROGRAM" || v.Name == "file" || v.Name == "dir" {
		return "files", ""
	}
	return "", ""
}

func catalogueNames() (names []string) {
	for _, m := range append(models.Catalogue(), models.Extras()...) {
		names = append(names, m.Name)
	}
	return names
}
