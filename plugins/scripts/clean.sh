# clean ROOT [NAME]: remove one checkout of the cache, or all of them. Prints "COUNT KIB".
root=$1 name=$2 n=0 kib=0
[ -d "$root" ] || {
	echo "0 0"
	exit 0
}
for d in "$root"/${name:-*}; do
	[ -d "$d" ] || continue
	size=$(du -sk -- "$d" 2>/dev/null | { read -r k _ && echo "$k"; })
	chmod -R u+w -- "$d" 2>/dev/null # Go's module cache and others are read-only
	rm -rf -- "$d" || exit 74
	n=$((n + 1)) kib=$((kib + ${size:-0}))
done
echo "$n $kib"
