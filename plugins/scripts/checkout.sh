# checkout DIR REPO REF CLEAN SUBMODULES: bring DIR to the commit that REF names in REPO now.
# DIR is a cache under the home; a broken one is made anew. Prints "commit SHA" and
# "dir PATH" last.
dir=$1 repo=$2 ref=$3 clean=$4 submodules=$5
fail() {
	echo "$2" >&2
	exit "$1"
}
command -v git >/dev/null 2>&1 || fail 69 "git is not installed on this host (install it, or send the source as an artifact)"
GIT_TERMINAL_PROMPT=0 GIT_SSH_COMMAND=${GIT_SSH_COMMAND:-ssh -oBatchMode=yes} LC_ALL=C
export GIT_TERMINAL_PROMPT GIT_SSH_COMMAND LC_ALL
case $repo in -*) fail 64 "the repository's name begins with a dash" ;; esac
case $ref in -* | '' | *..* | *[[:space:]]*) fail 64 "the ref is not a name that git takes" ;; esac
mkdir -p -- "$dir" && cd "$dir" || fail 73 "the directory for the checkout cannot be made"
top=$(git rev-parse --show-toplevel 2>/dev/null)
[ "$top" = "$(pwd -P)" ] || {
	# None yet, or what a full disk or a crash left of one.
	find . -mindepth 1 -maxdepth 1 -exec rm -rf {} +
	git init -q . || fail 73 "git init failed"
}
rm -f .git/index.lock .git/shallow.lock # of a git that was killed: we are alone on this host
git config remote.origin.url "$repo" || fail 73 "git config failed"
git fetch -q --force --prune --tags origin '+refs/heads/*:refs/remotes/origin/*' ||
	fail 66 "the repository cannot be fetched (git's own words are above)"
resolve() { git rev-parse -q --verify "$1^{commit}" 2>/dev/null; }
if [ "$ref" = HEAD ]; then
	git fetch -q origin HEAD || fail 66 "the repository has no HEAD"
	commit=$(resolve FETCH_HEAD)
else
	commit=$(resolve "refs/remotes/origin/$ref" || resolve "refs/tags/$ref" ||
		case $ref in *[!0-9a-f]* | ? | ?? | ???) false ;; *) resolve "$ref" ;; esac)
	# Other refs (refs/changes/...), and commits that no branch holds, by name.
	[ -n "$commit" ] || { git fetch -q origin "$ref" 2>/dev/null && commit=$(resolve FETCH_HEAD); }
fi
[ -n "$commit" ] || fail 66 "the repository has no branch, tag or commit \"$ref\""
git checkout -q --force --detach "$commit" && git reset -q --hard "$commit" || fail 74 "git checkout failed"
if [ "$clean" = true ]; then git clean -qffdx; else git clean -qffd; fi || fail 74 "git clean failed"
if [ "$submodules" = true ] && [ -f .gitmodules ]; then
	git submodule -q sync --recursive && git submodule -q update --init --recursive --force || fail 74 "the submodules cannot be fetched"
fi
echo "commit $commit"
echo "dir $(pwd -P)"
