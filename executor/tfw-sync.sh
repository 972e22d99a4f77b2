#!/bin/sh
# tfw-sync: wait for the other hosts of this test and pass them values. tfw put it
# here for one command and takes it away afterwards.
d=${0%/*}
say() { echo "tfw-sync: $*" >&2; }
usage() { say "usage: tfw-sync NAME, tfw-sync set KEY VALUE, tfw-sync get KEY [HOST]"; exit 64; }
case ${1-} in
  --here) exit 0 ;;
  set) [ $# = 3 ] || usage ;;
  get) [ $# = 2 ] || [ $# = 3 ] || usage ;;
  -* | '') usage ;;
  *) [ $# = 1 ] || usage; set -- wait "$1" ;;
esac
case $2 in '' | *[!A-Za-z0-9_.-]*) say "\"$2\": use letters, digits, _, . and -"; exit 64 ;; esac
case ${3-} in *'
'*) say "a value is one line"; exit 64 ;; esac
[ ${#2} -le 64 ] && [ ${#3} -le 4096 ] || { say "a name has at most 64 letters, a value 4096"; exit 64; }
umask 022
n=1
until [ ! -e "$d/n.$n" ] && (set -C; : >"$d/n.$n") 2>/dev/null; do
  [ -w "$d" ] || { say "the command that it was made for is over"; exit 1; }
  n=$((n + 1))
done
ask() { printf '%s\n' "$*" >"$d/t.$n" && mv -f "$d/t.$n" "$d/q.$n"; }
trap 'ask gone; exit 143' HUP INT TERM
ask "$@" || { say "cannot write to $d"; exit 1; }
until [ -e "$d/a.$n" ]; do
  [ -d "$d" ] || { say "the command that it was made for is over"; exit 1; }
  sleep 0.1 2>/dev/null || sleep 1
done
trap '' HUP INT TERM
{
  read -r how
  case $how in
    value) cat ;;
    ok) ;;
    *) say "$(cat)"; exit 1 ;;
  esac
} <"$d/a.$n"
