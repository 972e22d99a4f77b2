package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "Print the completion script of a shell",
		Long: `Print a script that teaches a shell to complete tfwctl's commands, flags, hosts,
groups, plugins, methods, parameters and runs. It needs nothing else to be installed.`,
		Example: `  source <(tfwctl completion bash)                       # now; in ~/.bashrc for good
  tfwctl completion zsh >"${fpath[1]}/_tfwctl"
  tfwctl completion fish >~/.config/fish/completions/tfwctl.fish`,
		Args: cobra.ExactArgs(1), ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root := cmd.Root(); strings.ToLower(args[0]) {
			case "bash":
				return bashCompletion(root, a.out)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			return usageError{fmt.Sprintf("%q: want bash, zsh or fish", args[0])}
		},
	}
}

// Cobra's script for bash takes the words from the bash-completion package. Where
// that is not installed every Tab would print an error, so we find them ourselves.
const (
	wordsOfPackage = `    _get_comp_words_by_ref "$@" cur prev words cword
`
	wordsOfOurs = `    if declare -F _get_comp_words_by_ref >/dev/null 2>&1; then
        _get_comp_words_by_ref "$@" cur prev words cword
        return
    fi
    # bash cuts words at ":" and "=": what has no space before it belongs to the word before.
    local i word rest=$COMP_LINE
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 0)) && [[ $rest != [[:space:]]* ]]; then
            words[${#words[@]}-1]+=$word
        else
            words+=("$word")
        fi
        rest=${rest#"${rest%%[![:space:]]*}"}
        rest=${rest#"$word"}
    done
    cword=$((${#words[@]} - 1))
    cur=${words[cword]} prev=
    ((cword == 0)) || prev=${words[cword-1]}
`
)

func bashCompletion(root *cobra.Command, w io.Writer) error {
	var b bytes.Buffer
	if err := root.GenBashCompletionV2(&b, true); err != nil {
		return err
	}
	_, err := io.WriteString(w, strings.Replace(b.String(), wordsOfPackage, wordsOfOurs, 1))
	return err
}
