package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// manualHead is the beginning of the manual page, which takes the name with the version, and what the program is for.
const manualHead = `.TH KLEINBILD 1 "" %q "User Commands"
.SH NAME
kleinbild, kleinbild\-cli \- make and edit pictures with FLUX.2 [klein]
.SH SYNOPSIS
.B kleinbild
[\fIpicture\fR ...]
.br
.B kleinbild
.I command
[\fIflags\fR]
.br
.B kleinbild\-cli
.I command
[\fIflags\fR]
.SH DESCRIPTION
%s
.PP
.B kleinbild
opens the window, with the named files as its reference pictures.
With a command it runs that command instead.
.PP
.B kleinbild\-cli
has the same commands and no window.
It needs no graphics libraries, so it also runs where the window cannot, and its
.B doctor
names the libraries that the window lacks.
.PP
Without an installed model both draw with a small demo model that is part of the program.
.SH EXAMPLES
.nf
kleinbild\-cli generate \-p "a red fox in the snow" \-o fox.png
kleinbild\-cli generate \-p "make it winter" \-i garden.jpg \-a match
kleinbild\-cli generate \-p "make it winter" \-i photos/ \-a match \-o winter/
kleinbild\-cli generate \-\-prompts list.jsonl \-o made/
kleinbild\-cli models get
kleinbild\-cli serve
.fi
.SH COMMANDS
`

type manualCommand struct{}

// Run prints the manual page in the language of man.
func (manualCommand) Run(s Streams, model *kong.Application) error {
	escape := strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'")
	fmt.Fprintf(s.Out, manualHead, "Kleinbild "+Version, escape.Replace(model.Help))
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
