package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints a script that completes commands and flags. The value of a flag is completed as a file name.
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
}

// completions lists node and the visible commands below it, node first. path is the path of node.
func completions(node *kong.Node, path []string) (list []completion) {
	c := completion{path: path}
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

func bashCompletion(w io.Writer, list []completion) error {
	return cases(w, list, `_kleinbild() {
    local word path="" current="${COMP_WORDS[COMP_CWORD]}" words=""
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$path/$word" in
            %s) path="$path/$word" ;;
        esac
    done
    case "$path" in
`, "        %s) words=\"%s\" ;;\n", `    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _kleinbild kleinbild
`)
}

func zshCompletion(w io.Writer, list []completion) error {
	return cases(w, list, `#compdef kleinbild
_kleinbild() {
    local word path_="" next=""
    for word in "${words[@]:1:$((CURRENT-2))}"; do
        case "$path_/$word" in
            (%s) path_="$path_/$word" ;;
        esac
    done
    case "$path_" in
`, "        (%s) next=\"%s\" ;;\n", `    esac
    compadd -- ${=next}
    [[ "$PREFIX" == -* ]] || _files
}
compdef _kleinbild kleinbild
[[ "${funcstack[1]}" == _kleinbild ]] && _kleinbild
`)
}

// cases writes a script: head, which takes a pattern that matches all commands, a case for the words that may follow
// each command, and tail.
func cases(w io.Writer, list []completion, head, one, tail string) error {
	fmt.Fprintf(w, head, strings.Join(paths(list), "|"))
	for _, c := range list {
		pattern := c.pattern()
		if pattern == "" {
			pattern = `""`
		}
		fmt.Fprintf(w, one, pattern, c.words())
	}
	_, err := io.WriteString(w, tail)
	return err
}

func fishCompletion(w io.Writer, list []completion) error {
	fmt.Fprintf(w, `function __kleinbild_at
    set -l at ""
    for word in (commandline -opc)[2..]
        switch "$at/$word"
            case %s
                set at "$at/$word"
        end
    end
    test "$at" = "$argv[1]"
end
`, strings.Join(paths(list), " "))
	quote := func(text string) string {
		return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'"
	}
	for _, c := range list {
		when := quote(fmt.Sprintf("__kleinbild_at %q", c.pattern()))
		for _, command := range c.commands {
			fmt.Fprintf(w, "complete -c kleinbild -f -n %s -a %s -d %s\n", when, command.Name, quote(command.Help))
		}
		for _, flag := range c.flags {
			short := ""
			if flag.Short != 0 {
				short = " -s " + string(flag.Short)
			}
			value := " -r"
			if flag.IsBool() {
				value = ""
			}
			fmt.Fprintf(w, "complete -c kleinbild -n %s -l %s%s%s -d %s\n",
				when, flag.Name, short, value, quote(flag.Help))
		}
	}
	return nil
}

type manualCommand struct{}

// Run prints the manual page in the language of man.
func (manualCommand) Run(s Streams, model *kong.Application) error {
	escape := strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'")
	fmt.Fprintf(s.Out, ".TH KLEINBILD 1 \"\" %q \"User Commands\"\n.SH NAME\nkleinbild \\- %s\n",
		"Kleinbild "+Version, escape.Replace(model.Help))
	fmt.Fprintf(s.Out, ".SH SYNOPSIS\n.B kleinbild\n.I command\n[\\fIflags\\fR]\n.SH COMMANDS\n")
	for _, c := range completions(model.Node, nil)[1:] {
		node := model.Node
		for _, name := range c.path {
			for _, child := range node.Children {
				if child.Name == name {
					node = child
					break
				}
			}
		}
		fmt.Fprintf(s.Out, ".SS %s\n%s\n", escape.Replace(node.Summary()), escape.Replace(node.Help))
		for _, p := range node.Positional {
			fmt.Fprintf(s.Out, ".TP\n.I %s\n%s\n", escape.Replace(p.Name), escape.Replace(p.Help))
		}
		if len(c.commands) > 0 {
			continue // its flags are listed with its own commands
		}
		for _, flag := range c.flags {
			if flag.Name == "help" {
				continue
			}
			fmt.Fprintf(s.Out, ".TP\n.B %s\n%s\n", escape.Replace(flag.String()), escape.Replace(flag.Help))
		}
	}
	_, err := fmt.Fprint(s.Out, `.SH FILES
.TP
.I ~/.local/share/kleinbild/models
Downloaded models, each in a folder of its own.
.TP
.I ~/.config/kleinbild/settings.json
The user's settings: the model that is used if neither \-\-model nor KLEINBILD_MODEL names one.
.TP
.I ~/.config/kleinbild/token
The token that requests to the server must send.
.SH ENVIRONMENT
.TP
.B KLEINBILD_MODEL
The model that is used if \-\-model is not given.
.TP
.B KLEINBILD_DRIVER
The package that launches kernels on the graphics card: gorgonia or purego, if the program has both.
.TP
.B KLEINBILD_TOKEN
The server's token.
.TP
.B HF_TOKEN
Your token of Hugging Face, for models that can be downloaded only by users who are logged in.
.TP
.B HF_ENDPOINT
A mirror of https://huggingface.co to download models from.
.TP
.B COMFYUI_PATH
The folder of a ComfyUI whose models are found.
.SH EXIT STATUS
0 for success, 1 for a failure, 2 for wrong arguments, 130 if interrupted. A server that a signal has ended returns 0.
`)
	return err
}
