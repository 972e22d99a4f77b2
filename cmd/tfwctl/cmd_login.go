package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tfw/api"
	"tfw/api/oidc"
)

func newLogin(a *app) *cobra.Command {
	var withToken bool
	cmd := &cobra.Command{
		Use: "login [URL]", Short: "Get a token for a controller, and keep it in a context",
		Long: `Log in to a controller and keep its token in the context (--context, else the current
one, else one with the name of the server's host), in a file that only you can read.
Where the controller knows an OpenID provider you log in there: a page to open on any
machine and a code to type. Else, or with --with-token, you give a token that an admin
made for you, typed unseen or on standard input. It is tried before it is kept.`,
		Example: "  tfwctl login https://lab1:8774\n  tfwctl login https://lab1:8774 --with-token <ci.token",
		Args:    cobra.MaximumNArgs(1), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			server := a.setting.server.value
			if len(args) > 0 {
				server = args[0]
			}
			if server == "" {
				return usageError{"log in where? (tfwctl login https://HOST:PORT; without a server no login is needed)"}
			}
			return a.login(cmd.Context(), server, withToken)
		},
	}
	cmd.Flags().BoolVar(&withToken, "with-token", false, "give a token, in the place of asking the OpenID provider")
	return cmd
}

func (a *app) login(ctx context.Context, server string, withToken bool) error {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	name, err := a.contextFor(server)
	if err != nil {
		return err
	}
	open := func(token string) (*api.Client, error) {
		opts, err := a.clientOptions(token)
		if err != nil {
			return nil, err
		}
		client, err := api.NewClient(server, append(opts, api.WithPatience(0))...)
		if err != nil {
			return nil, usageError{err.Error()}
		}
		return client, nil
	}
	client, err := open("")
	if err != nil {
		return err
	}
	defer client.Close()
	token, err := a.newToken(ctx, client, withToken)
	if err != nil {
		return err
	}
	known, err := open(token)
	if err != nil {
		return err
	}
	defer known.Close()
	me, err := known.Whoami(ctx)
	if err != nil {
		return err
	}
	err = a.editConfig(func(c *configFile) error {
		if c.Contexts == nil {
			c.Contexts = map[string]contextSpec{}
		}
		spec := c.Contexts[name]
		spec.Server, spec.Token, spec.TokenFile = server, token, ""
		c.Contexts[name] = spec
		if c.Current == "" {
			c.Current = name
		}
		return nil
	})
	if err != nil {
		return err
	}
	return a.emit(me, func() error {
		a.say("logged in to %s as %s, %s of %s (context %s)", server, me.Name, me.Role, allOr(me.Groups), name)
		return nil
	})
}

// contextFor gives the name of the context that a login to the server goes into.
func (a *app) contextFor(server string) (string, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" && u.Scheme != "unix" {
		return "", usageError{fmt.Sprintf("server %q: want https://HOST:PORT", server)}
	}
	if a.setting.context.value != "" {
		c, err := a.readConfig()
		if have := c.Contexts[a.setting.context.value].Server; err != nil || have == "" || have == server || a.flags.context != "" {
			return a.setting.context.value, err
		}
	}
	if u.Hostname() == "" {
		return "local", nil
	}
	return u.Hostname(), nil
}

// newToken gets a token from the user, or from the provider that the controller knows.
func (a *app) newToken(ctx context.Context, client *api.Client, given bool) (string, error) {
	var offer api.LoginOffer
	if !given {
		var err error
		if offer, err = client.LoginOffer(ctx); err != nil {
			return "", err
		}
	}
	if offer.Issuer == "" {
		token, err := a.readToken()
		return strings.TrimSpace(string(token)), err
	}
	idToken, err := oidc.DeviceLogin(ctx, offer, func(p oidc.Prompt) { a.say("%s", promptText(p)) })
	if err != nil {
		return "", fmt.Errorf("login: %w", err)
	}
	made, err := client.Login(ctx, idToken)
	if err == nil {
		a.debug("the token %s is good until %s", made.ID, made.Expires.Local().Format(time.DateTime))
	}
	return made.Text, err
}

// promptText asks the user to go to the provider. What the provider says does not speak to the terminal: it is named by
// a controller that is not known yet.
func promptText(p oidc.Prompt) string {
	text := fmt.Sprintf("open %s and type the code %s", safe(p.Page), safe(p.Code))
	if p.Complete != "" {
		text += "\nor open " + safe(p.Complete)
	}
	return text
}

func newLogout(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget the token of a context, and end it if it came by a login",
		Long: `Take the token out of the context. One that tfwctl login got from an OpenID provider
is revoked as well; one that was given is only forgotten: others may use it.`,
		Example: "  tfwctl logout\n  tfwctl logout --context lab1", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.logout(cmd.Context()) },
	}
}

func (a *app) logout(ctx context.Context) error {
	c, err := a.readConfig()
	if err != nil {
		return err
	}
	name := a.setting.context.value
	spec := c.Contexts[name]
	if name == "" || spec.Token == "" {
		return usageError{"no context with a token is in force (see: tfwctl config list)"}
	}
	revoked, revokeErr := a.revokeOwn(ctx, spec)
	err = a.editConfig(func(c *configFile) error {
		spec := c.Contexts[name]
		spec.Token = ""
		c.Contexts[name] = spec
		return nil
	})
	switch {
	case err != nil:
		return err
	case revokeErr != nil:
		return fmt.Errorf("the token of context %s is forgotten here, but could not be ended there: %w", name, revokeErr)
	case revoked:
		a.say("logged out of %s: the token is revoked and forgotten", spec.Server)
	default:
		a.say("the token of context %s is forgotten; it is still good for who has it", name)
	}
	return nil
}

// revokeOwn ends the context's token if a login made it. One that is over already is no error.
func (a *app) revokeOwn(ctx context.Context, spec contextSpec) (bool, error) {
	opts, err := a.clientOptions(spec.Token)
	if err != nil {
		return false, err
	}
	client, err := api.NewClient(spec.Server, append(opts, api.WithPatience(0))...)
	if err != nil {
		return false, err
	}
	defer client.Close()
	me, err := client.Whoami(ctx)
	if errors.Is(err, api.ErrUnauthenticated) {
		return true, nil
	}
	if err != nil || me.Login == "" {
		return false, err
	}
	return true, client.RevokeToken(ctx, me.Token)
}

func newWhoami(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Tell who you are to the controller, and what you may", Example: "  tfwctl whoami", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.client(cmd.Context())
			if err != nil {
				return err
			}
			me, err := client.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			return a.emit(me, func() error {
				a.printf("%s, %s of %s\n", me.Name, me.Role, allOr(me.Groups))
				return nil
			})
		},
	}
}

// readToken reads a token where nobody else can see it.
func (a *app) readToken() ([]byte, error) {
	if isTerminal(a.in) {
		return a.unseen("token")
	}
	token, err := a.readSecret("token")
	if err == nil && !strings.HasPrefix(string(token), "tfw_") {
		err = usageError{"standard input: holds no token (one begins with tfw_)"}
	}
	return token, err
}
