# Guard: what a command writes stays within bounds. Beyond them every process with its mark is stopped (SIGSTOP) and goes on (SIGCONT) when
# there is room again; nothing is lost. The bounds: t_q bytes that nobody has read, resumed at half of it; and, as long as the output grows,
# what the disk of the spool must keep free (t_need, in KiB: a sixteenth, at most 64 MiB, and twice what came since the last look).
#   t_W pid of the wrapper   t_why "", spool or disk: why it is stopped   t_free t_all KiB of the disk
#   full  there and empty: a byte could not be written while the disk was full; cut "out err": what was given back to the disk
t_sig() { for t_x in $(grep -lzxF "TFW_RUN=$t_i" /proc/[0-9]*/environ); do t_x=${t_x#/proc/}; kill -s "$1" "${t_x%/environ}"; done; }
t_room() { set -- $(df -Pk "$t_d" 2>/dev/null | { read -r t_x; read -r t_x t_y t_x t_z t_x; echo "$t_y $t_z"; }); t_all=${1-} t_free=${2-}; }
t_tight() { [ "$t_free" ] && if [ "$t_why" = disk ]; then [ "$t_free" -lt $((2*t_need)) ]
  elif [ $t_grew -gt 0 ]; then
    t_need=$((t_all/16)); [ $t_need -gt 65536 ] && t_need=65536
    t_need=$((t_need+t_grew/512)); [ $t_need -gt $((t_all/4)) ] && t_need=$((t_all/4))
    [ "$t_free" -lt $t_need ]
  else false; fi; }
t_guard() { t_why='' t_v=0.2 t_o=0 t_need=0
  [ -e "$t_f+stall" ] && { read -r t_why t_x <"$t_f+stall"; t_need=65536; }
  until t_rec || ! { kill -0 "$t_W" || grep -qzxF "TFW_RUN=$t_i" /proc/[0-9]*/environ; }; do
    sleep $t_v || sleep 1
    t_size || return
    t_z=$((t_z+t_y)) t_v=1
    t_grew=$((t_z-t_o)) t_o=$t_z
    [ $t_grew -gt 8388608 ] && t_v=0.2
    t_x=0 t_y=0; read -r t_x t_y <"$t_f+got"; t_much=$((t_z-t_x-t_y)) t_is=''
    t_room
    if [ $t_much -gt "$t_q" ] || { [ "$t_why" = spool ] && [ $t_much -gt $((t_q/2)) ]; }; then t_is=spool
    elif t_tight; then t_is=disk; [ -e "$t_f+full" ] || { echo . >"$t_f+full" && rm -f "$t_f+full"; }; fi
    [ "$t_is" ] && t_sig STOP
    [ "$t_is" = "$t_why" ] && continue
    t_why=$t_is
    if [ "$t_is" ]; then echo "$t_is ${t_free:-0}" >"$t_f+stall"; t_say stall "$t_is" "${t_free:-0}" "$t_d"
    else rm -f "$t_f+stall"; t_sig CONT; t_say resumed; fi
  done
  [ "$t_why" ] && t_sig CONT; }
# What the controller has on its disk ($1 of out, $2 of err) is given back to this one, where a hole can be made (util-linux, not busybox).
t_give() { [ "$t_gave" = never ] && return
  echo "$1 $2" >"$t_f+cut"
  { [ "$1" = 0 ] || fallocate -p -l "$1" "$t_f+out"; } && { [ "$2" = 0 ] || fallocate -p -l "$2" "$t_f+err"; } || { t_gave=never; rm -f "$t_f+cut"; }; }
