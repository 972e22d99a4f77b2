# Guard: what a command writes stays within bounds. Beyond them every process with its mark is stopped (SIGSTOP) and goes on (SIGCONT) when
# there is room again; nothing is lost. The bounds: t_q bytes that nobody has read, resumed at half of it; and, as long as the output grows,
# what the disk of the spool must keep free (t_need, in KiB: a sixteenth, at most 64 MiB, and twice what came since the last look).
# It sleeps while nothing is written, and ends with the last that could write: the command, then what outlived it, until the spool is swept.
#   t_W pid of the wrapper   t_why "", spool or disk: why it is stopped   t_free t_all KiB of the disk   t_a whose end is waited for
#   full  there and empty: a byte could not be written while the disk was full; cut "out err": what was given back to the disk
#   run   "guard1 pid starttime .": the guard, of several the last one; "stall1 why .": wakes those who watch this file
t_who() { grep -lzxF "TFW_RUN=$t_i" /proc/[0-9]*/environ; }
# Whom t_a names carries the mark. Looked for twice, since one that just becomes another program shows no environment for a moment.
t_any() { t_a=$(t_who); [ "$t_a" ] || { sleep 0.1 || sleep 1; t_a=$(t_who); }; t_a=${t_a#/proc/} t_a=${t_a%%/*}; [ "$t_a" ]; }
# Whether the command may have left somebody behind: its process group tells that for nothing, a look at all environments costs as much as
# there are processes. Who left the group is not seen by this; nor where the group is not the command's own and it ended within moments.
t_heirs() { [ "${t_L-1}" ] && case $t_own in ''|-) ;; *) kill -0 "-$t_own" ;; esac; } 2>/dev/null
t_sig() { for t_x in $(t_who); do t_x=${t_x#/proc/}; kill -s "$1" "${t_x%/environ}"; done; }
t_room() { set -- $(LC_ALL=C df -Pk "$t_d" 2>/dev/null); t_all=${9-} t_free=${11-}; }
t_note() { [ -e "$t_f+run" ] && echo "$*" >>"$t_f+run"; }
t_tight() { [ "$t_free" ] && if [ "$t_why" = disk ]; then [ "$t_free" -lt $((2*t_need)) ]
  elif [ $t_grew -gt 0 ]; then
    t_need=$((t_all/16)); [ $t_need -gt 65536 ] && t_need=65536
    t_need=$((t_need+t_grew/512)); [ $t_need -gt $((t_all/4)) ] && t_need=$((t_all/4))
    [ "$t_free" -lt $t_need ]
  else false; fi; }
t_enrol() { read -r t_me t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_T t_x </proc/self/stat
  t_me="guard1 $t_me $t_T ."; t_note "$t_me"; }
# $1: "" to go on for as long as there is anybody who could write, else until the command has ended.
t_guard() { t_why='' t_v=0.5 t_o=0 t_need=0 t_grew=1
  t_rec; t_was=$t_G
  t_enrol
  [ -e "$t_f+stall" ] && { read -r t_why t_x <"$t_f+stall"; t_need=65536; }
  while [ -e "$t_f+run" ]; do
    t_a=$t_W
    if t_rec || ! kill -0 "$t_W"; then
      [ "$1" ] && [ "$t_e" ] && break
      { [ ! "$t_e" ] || t_heirs; } && t_any || break
    fi
    case $t_G in "$t_me"|"$t_was") ;; *) return ;; esac
    if [ "$t_why" ]; then sleep $t_v || sleep 1; else
      [ $t_grew -gt 0 ] || sleep 0.2 || sleep 1 # who woke us may do so again at once
      t_wake $t_v "$t_a" "$t_f+run" "$t_f+out" "$t_f+err"; fi
    t_size || break
    t_z=$((t_z+t_y)) t_v=1
    t_grew=$((t_z-t_o)) t_o=$t_z
    if [ $t_grew -gt 8388608 ]; then t_v=0.2; elif [ $t_grew -le 0 ] && [ ! "$t_why" ]; then t_v=0.5; [ "$t_w" = gnu ] || t_v=3; fi
    t_x=0 t_y=0; read -r t_x t_y <"$t_f+got"; t_much=$((t_z-t_x-t_y)) t_is=''
    if [ "$t_why" ] || [ $t_grew -gt 0 ]; then t_room; fi
    if [ $t_much -gt "$t_q" ] || { [ "$t_why" = spool ] && [ $t_much -gt $((t_q/2)) ]; }; then t_is=spool
    elif t_tight; then t_is=disk; [ -e "$t_f+full" ] || { echo . >"$t_f+full" && rm -f "$t_f+full"; }; fi
    [ "$t_is" ] && t_sig STOP
    [ "$t_is" = "$t_why" ] && continue
    t_why=$t_is
    if [ "$t_is" ]; then echo "$t_is ${t_free:-0}" >"$t_f+stall"; t_say stall "$t_is" "${t_free:-0}" "$t_d"
    else rm -f "$t_f+stall"; t_sig CONT; t_say resumed; fi
    t_note "stall1 ${t_is:--} ."
  done
  [ "$t_why" ] && t_sig CONT; }
# A guard that nobody waits for.
t_mind() { ( ( trap '' HUP PIPE; export TFW_HELPER="$t_i"; t_guard '' ) & ) </dev/null >/dev/null 2>&1 3<&- 4>&- 9<&-; }
# What the controller has on its disk ($1 of out, $2 of err) is given back to this one, where a hole can be made (util-linux, not busybox).
t_give() { [ "$t_gave" = never ] && return
  echo "$1 $2" >"$t_f+cut"
  { [ "$1" = 0 ] || fallocate -p -l "$1" "$t_f+out"; } && { [ "$2" = 0 ] || fallocate -p -l "$2" "$t_f+err"; } || { t_gave=never; rm -f "$t_f+cut"; }; }
