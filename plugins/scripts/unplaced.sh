# unplaced DEST NEW KIB: why NEW, of that size, could not be put beside DEST; says nothing where it cannot tell.
dest=$1 new=$2 need=$3
case $dest in */*) dir=${dest%/*} ;; *) dir=. ;; esac
dir=${dir:-/}
fail() {
	rm -f -- "$new" "$dir/.${new##*/}".tfw-* 2>/dev/null
	echo "$1" >&2
	exit 73
}
[ -d "$dir" ] || fail "$dir: no such directory on the host (make it first)"
probe=$dir/.${dest##*/}.tfw-probe
(: >"$probe") 2>/dev/null || fail "$dir cannot be written by $(id -un) (see become)"
room=1
df -kP -- "$dir" 2>/dev/null | {
	read -r _
	read -r _ _ _ free _
	[ "${free:-$need}" -ge "$need" ]
} || room=
# Quotas count too.
dd if=/dev/zero of="$probe" bs=1024 count=64 2>/dev/null || room=
rm -f -- "$probe"
[ -n "$room" ] || fail "$dir: no space left on the host"
