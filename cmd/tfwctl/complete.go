package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tfw/executor"
)

// A completion answers soon or not at all, and never says anything but its words.
const completeWithin = 2 * time.Second

type lookUp func(ctx context.Context) ([]string, error)

func (a *app) words(look lookUp) []string {
	if a.answerBy.IsZero() {
		a.answerBy = time.Now().Add(completeWithin)
	}
	ctx, cancel := context.WithDeadline(context.Background(), a.answerBy)
	defer cancel()
	if a.resolve() != nil {
		return nil
	}
	found, err := look(ctx)
	if err != nil {
		return nil
	}
	return found
}

func (a *app) hostNames(ctx context.Context) ([]string, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	hosts, err := client.Hosts(ctx, "", "")
	return namesOf(hosts), err
}

func (a *app) groupNames(ctx context.Context) ([]string, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := client.Groups(ctx)
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name + "\t" + counted(len(g.Hosts), "host")
	}
	return names, err
}

func (a *app) secretNames(ctx context.Context) ([]string, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	all, err := client.Secrets(ctx)
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name + "\tfor " + allOr(s.Groups)
	}
	return names, err
}

func (a *app) pluginNames(ctx context.Context) ([]string, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	all, err := client.Plugins(ctx)
	names := make([]string, len(all))
	for i, p := range all {
		names[i] = p.Name + "\t" + p.Summary
	}
	return names, err
}

func (a *app) methodNames(ctx context.Context) ([]string, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	all, err := client.Plugins(ctx)
	var names []string
	for _, p := range all {
		for _, m := range p.Methods {
			names = append(names, p.Name+"."+m.Name+"\t"+m.Summary)
		}
	}
	return names, err
}

func (a *app) runNames(ctx context.Context) ([]string, error) {
	client, err := a.client(ctx)
	if err != nil {
		return nil, err
	}
	runs, _, err := client.Runs(ctx, executor.RunFilter{Limit: 30})
	names := []string{"last\tthe newest run"}
	for _, r := range runs {
		names = append(names, string(r.ID)+"\t"+what(r)+" on "+targetOf(r)+", "+stateOf(r))
	}
	return names, err
}

type completer = func(cmd *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective)

func (a *app) complete(at int, look lookUp) completer {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if at >= 0 && len(args) != at {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.words(look), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeTarget completes the last term of a target.
func (a *app) completeTarget(_ *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	return a.targetWords(word), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func (a *app) targetWords(word string) []string {
	before := ""
	if i := strings.LastIndexAny(word, ",!&@"); i >= 0 {
		before = word[:i+1]
	}
	found := append([]string{"all\tevery host"}, a.words(a.groupNames)...)
	found = append(found, a.words(a.hostNames)...)
	for i := range found {
		found[i] = before + found[i]
	}
	return found
}

func (a *app) completeHost(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(0, a.hostNames)(cmd, args, word)
}

func (a *app) completeGroup(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(0, a.groupNames)(cmd, args, word)
}

func (a *app) completeMethod(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(0, a.methodNames)(cmd, args, word)
}

func (a *app) completeRun(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(-1, a.runNames)(cmd, args, word)
}

func (a *app) completeContext(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	return a.complete(0, a.contextNames)(cmd, args, word)
}

func (a *app) contextNames(context.Context) ([]string, error) {
	c, err := a.readConfig()
	return c.names(), err
}

// completeCopy completes the words of cp: files here, and TARGET: before the paths of hosts.
func (a *app) completeCopy(_ *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	if strings.ContainsAny(word, "/:") {
		return nil, cobra.ShellCompDirectiveDefault
	}
	files, err := filepath.Glob(word + "*") // brackets in it are a target's
	if err != nil {
		files = nil
	}
	for i, f := range files {
		if info, err := os.Stat(f); err == nil && info.IsDir() {
			files[i] += "/"
		}
	}
	for _, t := range a.targetWords(word) {
		name, about, _ := strings.Cut(t, "\t")
		files = append(files, name+":\t"+about)
	}
	return files, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

// completeRunArgs completes PLUGIN.METHOD, then the target, then parameters.
func (a *app) completeRunArgs(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		return a.words(a.methodNames), cobra.ShellCompDirectiveNoFileComp
	case 1:
		return a.targetWords(word), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
	plugin, method, _ := strings.Cut(args[0], ".")
	found := a.words(func(ctx context.Context) ([]string, error) {
		cmd.SetContext(ctx)
		client, err := a.client(ctx)
		if err != nil {
			return nil, err
		}
		m, err := methodOf(cmd, client, plugin, method)
		if err != nil {
			return nil, err
		}
		s := readSchema(m.Parameters)
		var keys []string
		for _, n := range inOrder(s, m) {
			keys = append(keys, n+"=\t"+describe(s.Properties[n]))
		}
		return keys, nil
	})
	return found, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}

func completeWords(cmd *cobra.Command, flag string, words ...string) {
	if f := cmd.Flags().Lookup(flag); f != nil {
		f.Annotations = map[string][]string{wordsOf: words}
	}
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

func (a *app) completeFlag(cmd *cobra.Command, flag string, look lookUp) {
	_ = cmd.RegisterFlagCompletionFunc(flag, a.complete(-1, look))
}
