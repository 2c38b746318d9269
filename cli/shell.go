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

// Run prints a script that completes commands and flags; what follows a flag is completed as a file.
func (c completionCommand) Run(s Streams, model *kong.Application) error {
	write := map[string]func(io.Writer, []completion) error{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}[c.Shell]
	return write(s.Out, completions(model.Node, nil))
}

// completion is a command, and what may follow it.
type completion struct {
	path     []string // "models", "get"; empty for the program itself
	commands []*kong.Node
	flags    []*kong.Flag
}

// completions lists the visible commands below node, node first.
func completions(node *kong.Node, path []string) (list []completion) {
	c := completion{path: path}
	for _, f := range node.AllFlags(true) {
		for _, flag := range f {
			c.flags = append(c.flags, flag)
		}
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

// words are what may come next, as one line.
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

// cases writes head, which takes the pattern of all commands, a case for each command's words, and tail.
func cases(w io.Writer, list []completion, head, one, tail string) error {
	var all []string
	for _, c := range list[1:] {
		all = append(all, "/"+strings.Join(c.path, "/"))
	}
	fmt.Fprintf(w, head, strings.Join(all, "|"))
	for i, c := range list {
		pattern := `""`
		if i > 0 {
			pattern = all[i-1]
		}
		fmt.Fprintf(w, one, pattern, c.words())
	}
	_, err := io.WriteString(w, tail)
	return err
}

func fishCompletion(w io.Writer, list []completion) error {
	quote := func(text string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) + "'" }
	for _, c := range list {
		// A command counts where all of its path has been typed, and none of what comes below it.
		var conditions []string
		for _, name := range c.path {
			conditions = append(conditions, "__fish_seen_subcommand_from "+name)
		}
		var below []string
		for _, command := range c.commands {
			below = append(below, command.Name)
		}
		if len(below) > 0 {
			conditions = append(conditions, "not __fish_seen_subcommand_from "+strings.Join(below, " "))
		}
		when := quote(strings.Join(conditions, "; and "))
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
			fmt.Fprintf(w, "complete -c kleinbild -n %s -l %s%s%s -d %s\n", when, flag.Name, short, value, quote(flag.Help))
		}
	}
	return nil
}

type manualCommand struct{}

// Run prints the manual page in the language of man.
func (manualCommand) Run(s Streams, model *kong.Application) error {
	escape := strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'")
	fmt.Fprintf(s.Out, ".TH KLEINBILD 1 \"\" %q \"User Commands\"\n.SH NAME\nkleinbild \\- %s\n", "Kleinbild "+Version, escape.Replace(model.Help))
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
			continue // its flags are those of the commands below
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
Models, each in a folder of its own.
.TP
.I ~/.config/kleinbild/settings.json
The model that is used where no flag names one.
.TP
.I ~/.config/kleinbild/token
What requests to the server must send.
.SH ENVIRONMENT
.TP
.B KLEINBILD_MODEL
A model, as for \-\-model.
.TP
.B KLEINBILD_TOKEN
The server's token.
.TP
.B HF_TOKEN
For downloads of models that ask who you are.
.TP
.B HF_ENDPOINT
A mirror of https://huggingface.co.
.TP
.B COMFYUI_PATH
A ComfyUI folder whose models are used.
.SH EXIT STATUS
0 done, 1 failed, 2 wrong usage, 130 interrupted. A server that was told to end has done its work: 0.
`)
	return err
}
