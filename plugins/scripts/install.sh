# install DEST NEW SUM MODE: put NEW (beside DEST, uploaded or to be copied) in DEST's place.
# Prints "STATE OLDSUM" where STATE is unchanged, replaced or created. Beside DEST it keeps
# .NAME.tfw-old (the version before) or .NAME.tfw-none (there was none) for rollback.
# Safe to run again at any point: each change is one rename.
dest=$1 new=$2 sum=$3 mode=$4
case $dest in */*) dir=${dest%/*}/ ;; *) dir=./ ;; esac
name=${dest##*/}
old=$dir.$name.tfw-old none=$dir.$name.tfw-none part=$dir.$name.tfw-part
fail() {
	rm -f -- "$part" "$dir.$name.tfw-new" # what was not put in place is of no use
	echo "$2" >&2
	exit "$1"
}
hash() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum <"$1" | cut -d' ' -f1
	elif command -v shasum >/dev/null 2>&1; then
		shasum -a 256 <"$1" | cut -d' ' -f1
	elif command -v openssl >/dev/null 2>&1; then
		openssl dgst -sha256 -r <"$1" | cut -d' ' -f1
	else
		fail 69 "sha256sum, shasum or openssl is needed on the host to verify what is installed"
	fi
}
journal() { # remember what was installed last, for a rollback that names nothing
	notes=${XDG_STATE_HOME:-$HOME/.local/state}/tfw
	(umask 077 && mkdir -p "$notes" && printf '%s\n' "$1" >>"$notes/installed") 2>/dev/null ||
		echo "note: not noted for a rollback without dest: $notes cannot be written" >&2
}
[ ! -d "$dest" ] || fail 64 "$dest is a directory"
[ -f "$new" ] || fail 66 "$new: no such file on the host"
case $dest in /*) full=$dest ;; *) full=$PWD/$dest ;; esac
if [ "$new" != "$dir.$name.tfw-new" ]; then # a file of the host: never moved away from where it is
	cp -p -- "$new" "$part" || fail 74 "$new cannot be copied beside $dest (cp says why; what was there is still there)"
	new=$part
	[ -n "$mode" ] || mode=-
fi
got=$(hash "$new") || exit
[ -z "$sum" ] || [ "$got" = "$sum" ] || fail 74 "the file beside $dest has another hash than asked for: $got"
had=
if [ -f "$dest" ]; then had=$(hash "$dest") || exit; fi
[ "$mode" = - ] || chmod -- "$mode" "$new" || fail 73 "the mode of $new cannot be set"
if [ "$had" = "$got" ]; then
	[ "$mode" = - ] || chmod -- "$mode" "$dest" || fail 73 "the mode of $dest cannot be set"
	rm -f -- "$new"
	echo "unchanged $had $got"
	exit 0
fi
if [ -n "$had" ]; then
	# A hard link keeps the old version without a moment in which dest is missing;
	# file systems without links (FAT) get a copy.
	rm -f -- "$old.part"
	ln -- "$dest" "$old.part" 2>/dev/null || cp -p -- "$dest" "$old.part" || fail 74 "the old version of $dest cannot be kept"
	mv -f -- "$old.part" "$old" || fail 74 "the old version of $dest cannot be kept"
	rm -f -- "$old.part" "$none" # mv does nothing between two links of one file
	state=replaced
else
	: >"$none" && rm -f -- "$old" || fail 73 "$dir cannot be written"
	state=created
fi
mv -f -- "$new" "$dest" || fail 74 "$dest cannot be replaced"
sync
journal "$full"
echo "$state ${had:--} $got"
