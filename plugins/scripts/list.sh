# list LIMIT PATTERN...: "@ DIRECTORY" it looks in, then files that match, each as "SIZE PATH" and a
# NUL; "- PATTERN" for a pattern that matches none. "**" is any depth, a trailing "/" is a directory as a whole.
limit=$1 n=0
shift
IFS=
printf '@ %s\0' "$(pwd -P)"
emit() {
	[ -f "$1" ] && [ -r "$1" ] || return 0
	found=1 n=$((n + 1))
	[ "$n" -gt $((limit + 1)) ] || printf '%s %s\0' "$(wc -c <"$1" | tr -d ' ')" "${1#./}"
}
deep() { # BASE TAIL: files under BASE, at any depth, whose path ends in TAIL
	case $2 in
	'' | '/*') find "$1" -type f ;;
	/*/*) find "$1" -type f -path "*$2" ;;
	*) find "$1" -type f -name "${2#/}" ;;
	esac 2>/dev/null
}
for pattern do
	found=0
	case $pattern in
	*'**'*)
		base=${pattern%%'**'*} tail=${pattern#*'**'}
		for b in ${base:-.}; do
			[ -d "$b" ] || continue
			while read -r f; do emit "$f"; done <<-END
				$(deep "$b" "$tail" | head -n $((limit + 2)))
			END
		done
		;;
	*/)
		for d in $pattern; do [ -d "$d" ] && found=1 && n=$((n + 1)) && printf '%s %s\0' 0 "${d#./}"; done
		;;
	*) for f in $pattern; do emit "$f"; done ;;
	esac
	[ "$found" = 1 ] || printf '%s %s\0' - "$pattern"
done
exit 0
