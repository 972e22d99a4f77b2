package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/executor"
)

func newToken(a *app) *cobra.Command {
	return group(&cobra.Command{
		Aliases: []string{"tokens"}, Use: "token", Short: "Make, list and revoke tokens",
		Example: "  tfwctl token create ci --role operator --groups duts --expires 720h\n  tfwctl token list\n  tfwctl token revoke k3j5",
	}, newTokenCreate(a), newTokenList(a), newTokenRevoke(a))
}

func newTokenCreate(a *app) *cobra.Command {
	var req api.TokenRequest
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print it, the only time it is seen",
		Long: `Make a token for a person or program. A viewer may look, an operator run, lease
and cancel, an admin all else. --groups limits it to hosts of these groups. The token is
printed on standard output, alone, and never shown again.`,
		Example: "  tfwctl token create ci --role operator --groups duts,builders --expires 720h >ci.token",
		Args:    cobra.ExactArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if expires < 0 {
				return usageError{"--expires wants no negative duration"}
			}
			req.Name, req.Expires = args[0], executor.Duration(expires)
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			made, err := client.CreateToken(cmd.Context(), req)
			if err != nil {
				return err
			}
			return a.emit(made, func() error {
				a.printf("%s\n", made.Text)
				a.say("token %s for %s, %s; keep it, it is not shown again", made.ID, made.Name, made.Role)
				return nil
			})
		},
	}
	cmd.Flags().StringVar((*string)(&req.Role), "role", string(executor.Operator), "viewer, operator or admin")
	cmd.Flags().StringSliceVar(&req.Groups, "groups", nil, "only hosts of these groups (default all)")
	cmd.Flags().DurationVar(&expires, "expires", 0, "how long it is good for (default for good)")
	completeWords(cmd, "role", "viewer", "operator", "admin")
	a.completeFlag(cmd, "groups", a.groupNames)
	return cmd
}

func newTokenList(a *app) *cobra.Command {
	return &cobra.Command{
		Aliases: []string{"ls"}, Use: "list", Short: "List tokens, never their text", Example: "  tfwctl token list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			tokens, err := client.Tokens(cmd.Context())
			if err != nil {
				return err
			}
			return a.emit(tokens, func() error {
				if len(tokens) == 0 {
					a.say("no tokens (make one with: tfwctl token create NAME)")
					return nil
				}
				g := grid{head: []string{"ID", "NAME", "ROLE", "GROUPS", "CREATED", "LAST USED", "STATE"}, wide: 1}
				for _, t := range tokens {
					state := tokenState(t)
					g.rows = append(g.rows, []cell{{text: t.ID}, {text: t.Name}, {text: string(t.Role)}, {text: groupsOf(t)},
						{text: since(t.Created)}, {text: since(t.LastUsed)}, state})
				}
				return g.print(a, a.out)
			})
		},
	}
}

func groupsOf(t executor.Token) string {
	if t.Groups == nil {
		return "all"
	}
	return strings.Join(t.Groups, ",")
}

func tokenState(t executor.Token) cell {
	switch {
	case !t.Revoked.IsZero():
		return cell{"revoked", grey}
	case !t.Expires.IsZero() && time.Now().After(t.Expires):
		return cell{"expired", grey}
	case !t.Expires.IsZero():
		return cell{"good for " + short(time.Until(t.Expires)), ""}
	}
	return cell{"good", ""}
}

func newTokenRevoke(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID...", Short: "End tokens, now and for good", Example: "  tfwctl token revoke k3j5",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			for _, id := range args {
				if err := client.RevokeToken(cmd.Context(), id); err != nil {
					return err
				}
				a.say("token %s is revoked", id)
			}
			return nil
		},
	}
}
