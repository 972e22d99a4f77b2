# wait_for KIND WHAT WANT TIMEOUT INTERVAL: loop until the look gives WANT (0: yes, 1: no).
# Time is read from /proc/uptime where there is one: the clock of a host may jump.
kind=$1 what=$2 want=$3 timeout=$4 interval=$5
now() {
	if read -r up _ 2>/dev/null </proc/uptime; then now=${up%%.*}; else now=$(date +%s); fi
}
listening() { # state 0A is LISTEN; the port is the last field of the local address, in hex
	cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -q "^ *[0-9]*: [0-9A-F]*:$what [0-9A-F]*:[0-9A-F]* 0A "
}
look() {
	case $kind in
	port) listening ;;
	path) [ -e "$what" ] || [ -L "$what" ] ;;
	command) sh -c "$what" </dev/null >/dev/null 2>&1 ;;
	esac
}
if [ "$kind" = port ] && [ ! -r /proc/net/tcp ]; then
	echo "cannot tell which ports are listened on: /proc/net/tcp is missing (wait for a command instead)" >&2
	exit 69
fi
now
end=$((now + timeout)) tries=0
while :; do
	tries=$((tries + 1)) got=1
	look && got=0
	if [ "$got" = "$want" ]; then
		echo "$tries"
		exit 0
	fi
	now
	if [ "$now" -ge "$end" ]; then
		echo "$tries"
		exit 75
	fi
	sleep "$interval" 2>/dev/null || sleep 1
done
