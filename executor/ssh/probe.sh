# Probe: the head of a script on a host that is not known yet. Finds or makes the spool directory of this user and tells what else
# the scripts need to know; the controller remembers it. A directory that is there wins over a better place: a command's claim must be
# found again, so ~/.tfw is used where somebody made it; else /var/tmp, which is local and survives a reboot. Sets t_d (spool), t_m (umask), t_w (gnu, poll).
t_fail() { t_say fail "$@"; exit; }
t_own() { [ -d "$1" ] && [ ! -h "$1" ] && [ -O "$1" ] && case $(ls -ldn "$1") in drwx------*) ;; *) false ;; esac; }
t_path=$PATH PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin
t_m=$(umask) t_u=$(id -u) t_d='' t_x=''
for t_y in "$HOME/.tfw" "/var/tmp/tfw-$t_u" "/tmp/tfw-$t_u"; do case $t_y in *[!A-Za-z0-9/._@+-]*|[!/]*) continue ;; esac
  t_own "$t_y" && { t_d=$t_y; break; }; done 2>/dev/null
[ "$t_d" ] || for t_y in "/var/tmp/tfw-$t_u" "$HOME/.tfw" "/tmp/tfw-$t_u"; do case $t_y in *[!A-Za-z0-9/._@+-]*|[!/]*) continue ;; esac
  [ -e "$t_y" ] && t_x="$t_x $t_y is not a private directory of this user,"
  mkdir -m 700 "$t_y" && t_own "$t_y" && { t_d=$t_y; break; }; done 2>/dev/null
[ "$t_d" ] || t_fail nospool "${t_x:- none of /var/tmp, home and /tmp can be written}"
t_w=poll; case $(timeout -s KILL 9 tail --version 2>/dev/null) in *GNU*) t_w=gnu ;; esac
t_b=-; read -r t_b 2>/dev/null </proc/sys/kernel/random/boot_id
# logind ends what a login leaves behind, but for those it is told to spare (logind.conf(5); root by default). What its file has in a comment
# is what it does unasked. A scope of the user's own manager outlives the login where the user lingers: the launch asks for one.
t_conf() { t_x=$(cat /usr/lib/systemd/logind.conf /etc/systemd/logind.conf /usr/lib/systemd/logind.conf.d/*.conf /run/systemd/logind.conf.d/*.conf /etc/systemd/logind.conf.d/*.conf 2>/dev/null |
  sed -n "s/^[[:space:]]*$2$1[[:space:]]*=[[:space:]]*//p" | tail -n 1); }
t_z=yes; [ -d /run/systemd/system ] && [ "$t_u" != 0 ] && {
  t_conf KillUserProcesses; [ "$t_x" ] || t_conf KillUserProcesses '[#;][[:space:]]*'
  case $t_x in [yY]*|[tT]*|1|on) t_y=$(id -un); t_z=logind
    t_conf KillOnlyUsers; [ "$t_x" ] && case " $t_x " in *" $t_y "*) ;; *) t_z=yes ;; esac
    t_conf KillExcludeUsers; case " $t_x " in *" $t_y "*) t_z=yes ;; esac
    [ $t_z = logind ] && [ -e "/var/lib/systemd/linger/$t_y" ] && systemd-run --user --scope --quiet -- true </dev/null >/dev/null 2>&1 && t_z=scope ;; esac; }
[ -r "/proc/$$/stat" ] || t_z=noproc
t_say probe "$t_b" "$t_u" "$t_m" "$t_w" "$t_z" "$t_d"
PATH=$t_path
