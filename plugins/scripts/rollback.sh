# rollback [DEST]: put the version before the last install back; without DEST the last
# one that this user installed with tfw. Prints "STATE DEST": restored, removed or nothing.
dest=$1
journal=${XDG_STATE_HOME:-$HOME/.local/state}/tfw/installed
fail() {
	echo "$2" >&2
	exit "$1"
}
if [ -z "$dest" ]; then
	[ -s "$journal" ] && dest=$(tail -n 1 "$journal")
	[ -n "$dest" ] || {
		echo "nothing -"
		exit 0
	}
	named=
else
	named=1
fi
case $dest in /*) ;; *) dest=$PWD/$dest ;; esac
dir=${dest%/*}/ name=${dest##*/}
old=$dir.$name.tfw-old none=$dir.$name.tfw-none
if [ -f "$old" ]; then
	mv -f -- "$old" "$dest" || fail 74 "$dest cannot be restored"
	state=restored
elif [ -f "$none" ]; then
	rm -f -- "$dest" && rm -f -- "$none" || fail 74 "$dest cannot be removed"
	state=removed
elif [ -n "$named" ]; then
	fail 66 "$dest has no version before it to go back to"
else
	state=nothing
fi
sync
if [ -f "$journal" ]; then # forget every mention of it: there is one version to go back to
	umask 077
	grep -vxF -e "$dest" "$journal" >"$journal.part"
	mv -f -- "$journal.part" "$journal"
fi
echo "$state $dest"
