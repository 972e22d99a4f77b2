# unpack DIR ARCHIVE: DIR holds what the tar archive holds and nothing else. Prints
# "dir PATH" last.
dir=$1 archive=$2
fail() {
	echo "$2" >&2
	exit "$1"
}
command -v tar >/dev/null 2>&1 || fail 69 "tar is not installed on this host"
case $archive in /*) ;; *) archive=$PWD/$archive ;; esac
rm -rf -- "$dir" && mkdir -p -- "$dir" && cd "$dir" || fail 73 "the directory for the source cannot be made"
# Not every tar finds out the compression by itself.
case $(od -An -tx1 -N4 <"$archive" | tr -d ' \n') in
1f8b*) kind=z ;;
fd377a58) kind=J ;;
425a68*) kind=j ;;
28b52ffd) kind=zstd ;;
*) kind= ;;
esac
for need in z:gzip J:xz j:bzip2 zstd:zstd; do
	[ "$kind" != "${need%:*}" ] || command -v "${need#*:}" >/dev/null 2>&1 || fail 69 "${need#*:}, which the source is packed with, is not installed on this host"
done
case $kind in
zstd) zstd -dc <"$archive" | tar -xf - ;;
*) tar -x${kind}f "$archive" ;;
esac || fail 65 "the source is no tar archive that this host can unpack"
rm -f -- "$archive"
echo "dir $(pwd -P)"
