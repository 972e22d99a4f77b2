# service NAME ACTION: with whatever this host manages its services. Prints
# "MANAGER STATE"; STATE is active, inactive or failed.
name=$1 action=$2
PATH=$PATH:/usr/sbin:/sbin
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; then
	manager=systemctl
elif command -v sv >/dev/null 2>&1 && { [ -d "/etc/service/$name" ] || [ -d "/var/service/$name" ] || [ -d "${SVDIR:-/nowhere}/$name" ]; }; then
	manager=sv
elif command -v rc-service >/dev/null 2>&1; then
	manager=rc-service
elif [ -x "/etc/init.d/$name" ]; then
	manager=init.d
else
	echo "no way to manage the service $name on this host: systemctl (with systemd running), sv, rc-service or /etc/init.d/$name is needed" >&2
	exit 69
fi
unable() {
	echo "$manager cannot $action a service" >&2
	exit 69
}
change() {
	case $manager in
	systemctl) systemctl --no-ask-password "$action" -- "$name" ;;
	sv)
		case $action in
		start | stop | restart | reload) sv "$action" "$name" ;;
		*) unable ;;
		esac
		;;
	rc-service)
		case $action in
		enable) rc-update add "$name" default ;;
		disable) rc-update del "$name" default ;;
		*) rc-service "$name" "$action" ;;
		esac
		;;
	init.d)
		case $action in
		enable | disable) unable ;;
		*) "/etc/init.d/$name" "$action" ;;
		esac
		;;
	esac
}
active() {
	case $manager in
	systemctl) systemctl is-active -- "$name" 2>/dev/null ;;
	sv) case $(sv status "$name" 2>/dev/null) in run:*) echo active ;; *) echo inactive ;; esac ;;
	rc-service) rc-service "$name" status >/dev/null 2>&1 && echo active || echo inactive ;;
	init.d) "/etc/init.d/$name" status >/dev/null 2>&1 && echo active || echo inactive ;;
	esac
}
if [ "$action" != status ]; then change >&2 || exit; fi
echo "$manager $(active)"
