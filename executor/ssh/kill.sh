# Kill, protocol 1: TERM, grace, KILL over the session of the wrapper and everything that carries the command's mark, counted by pid and
# start time. It runs on when the connection is cut.  t_g: grace in hundredths of a second.
trap '' PIPE HUP
exec 2>/dev/null
t_now() { t_c=0; read -r t_c t_x </proc/uptime; case $t_c in *.*) t_x=${t_c#*.}; t_c=${t_c%.*}${t_x%"${t_x#??}"} ;; *) t_c=${t_c}00 ;; esac; }
# A command not started yet must never be: the tombstone is made before its claim is looked for, a launch does it the other way round.
if [ ! -e "$t_f+run" ]; then
  umask 077
  ( set -C; echo "exit1 143 0 0 k ." >"$t_f+ack" )
fi
t_gone=''
if t_claim; then
  { t_rec || [ "$t_cb" != "$t_boot" ]; } && t_gone=1
else t_gone=1; [ -e "$t_f+run" ] || t_cb=none; fi
# The session is the wrapper's, or the command's own ("-"), or shared with other commands ("="), of which only the mark tells.
# Once the pid of its leader is another's, so is the session's number.
t_session() { case $t_ss in
    =) t_sid='' ;;
    -) t_sid=$t_cp; t_alive || { t_stat "$t_cp" && ! t_marked "$t_cp" && t_sid=''; } ;;
    *) t_sid=$t_ss; t_alive || { t_stat "$t_ss" && t_sid=''; [ "$t_ss" = "$t_wp" ] || t_sid=''; } ;; esac
  [ "$t_cb" = "$t_boot" ] || t_sid=''; }
t_session
t_scan() { t_M=''
  [ "$t_cp" ] || [ "$t_gone" ] || { t_x=$t_k; t_claim && t_session; t_k=$t_x; }
  t_rec; set -- $t_G; t_gp=${2:--}
  t_not=" $t_wp $t_hp $$ "
  if [ "$t_sid" ] && t_alive; then t_p=$t_P; while [ "$t_p" -gt 1 ]; do t_not="$t_not$t_p "; t_stat "$t_p" || break; t_p=$t_P; done; fi
  for t_p in $(grep -lzxF "TFW_HELPER=$t_i" /proc/[0-9]*/environ); do t_p=${t_p#/proc/}; t_not="$t_not${t_p%/environ} "; done
  for t_p in $(grep -lzxF "TFW_RUN=$t_i" /proc/[0-9]*/environ; [ "$t_sid" ] && grep -l ") [A-Z] [0-9]* [0-9]* $t_sid " /proc/[0-9]*/stat); do
    t_p=${t_p#/proc/} t_p=${t_p%/*}
    case $t_not in *" $t_p "*) continue ;; esac
    t_not="$t_not$t_p "
    t_stat "$t_p" || continue
    case $t_S in [ZX]) continue ;; esac
    [ "$t_hp" ] && [ "$t_P" = "$t_hp" ] && continue
    case $t_gp in "$t_p"|"$t_P") t_marked "$t_p" || continue ;; esac
    t_M="$t_M $t_p.$t_T"
  done; }
t_each() { for t_m in $t_M; do case "$t_seen " in *" $t_m "*) [ "$1" = KILL ] || continue ;; *) t_seen="$t_seen $t_m" ;; esac
    kill -s "$1" "${t_m%.*}"; [ "$1" = KILL ] || kill -s CONT "${t_m%.*}"; done; }
t_busy() { [ "$t_M" ] || { [ "$t_cb" != none ] && t_alive && ! t_rec; }; }
# Nobody, and nobody again: one that just becomes another program shows no environment for a moment.
t_none() { if t_busy; then t_two=''; else t_t=$t_two t_two=1; fi; [ "$t_two" ] && [ "$t_t" ]; }
t_seen='' t_k=0 t_two='' t_t=''
t_now; t_end=$((t_c+t_g))
t_scan
until t_none || { t_now; [ "$t_c" -ge "$t_end" ]; }; do t_each TERM; sleep 0.05 || sleep 1; t_scan; done
t_k=0; t_count=0.02 t_end=$((t_c+300))
until t_none || [ $t_k -ge 60 ] || { t_now; [ $t_k -gt 3 ] && [ "$t_c" -ge "$t_end" ]; }; do t_each KILL; t_k=$((t_k+1)); sleep $t_count || sleep 1; t_count=0.05; t_scan; done
# Nothing is left of it, yet its wrapper says nothing: it hangs, and goes too.
[ "$t_M" ] || { t_busy && kill -s KILL "$t_wp"; }
t_count=0
for t_m in $t_seen; do t_stat "${t_m%.*}" && [ "$t_T" = "${t_m#*.}" ] && case $t_S in [ZX]) false ;; esac || t_count=$((t_count+1)); done
for t_m in $t_M; do t_x=''; read -r t_x <"/proc/${t_m%.*}/comm"; t_say left "${t_m%.*}" "$t_x"; done
[ "$t_seen" ] || t_alive || t_gone=1 # its wrapper had been killed, and nobody was left
t_say kill "${t_gone:-0}" "$t_count"
