# Sweep: what the controller has stored is forgotten, but for a tombstone.  t_K: ids, each with the bytes of both streams or "- -", in triples.
# Not before the end: what still runs is left alone.
t_sweep() { t_R='' t_O='' t_M=''
  while [ $# -ge 3 ]; do
    t_i=$1 t_f=$t_d/$1
    if [ -e "$t_f+run" ]; then
      t_rec || { t_state; case $t_now in running|orphan) shift 3; continue ;; esac; t_e="exit1 - 0 0 l ."; }
      echo "${t_e%.}$2 $3 ." >"$t_f+ack" && t_O="$t_O $t_i" t_M="$t_M -e TFW_RUN=$t_i" t_R="$t_R $t_f+run $t_f+cmd $t_f+in $t_f+way $t_f+got $t_f+stall $t_f+full $t_f+cut"
    fi
    shift 3
  done
  # Left by shells that were to stand by and were killed before they could.
  for t_x in "$t_d"/standby.*+stage; do t_i=${t_x##*/standby.}; [ ! -e "$t_x" ] || [ -d "/proc/${t_i%+stage}" ] || t_R="$t_R $t_x"; done
  [ "$t_O" ] || { rm -f $t_R; return; }
  t_M=$(grep -lzxF $t_M /proc/[0-9]*/environ 2>/dev/null)
  for t_i in $t_O; do t_f=$t_d/$t_i t_l=''
    for t_x in $t_M; do grep -qzxF "TFW_RUN=$t_i" "$t_x" 2>/dev/null && t_l="$t_l ${t_x%environ}fd"; done
    # Who has them open may write on; the others are no concern of the spool's.
    [ "$t_l" ] && ls -l $t_l 2>/dev/null | grep -qF "$t_f+" && { t_late; continue; }
    t_R="$t_R $t_f+out $t_f+err"
  done
  rm -f $t_R; }
# Who outlived its command may write on for ever. Nobody reads that: the files are emptied again and again for as long as it lives.
t_late() { ( trap '' HUP; t_u=''; [ -e "$t_f+stall" ] && t_u=1
  while t_l=$(grep -lzxF "TFW_RUN=$t_i" /proc/[0-9]*/environ); [ "$t_l" ] && t_size; do
    t_z=$((t_z+t_y))
    [ $t_z -gt 1048576 ] && { : >"$t_f+out"; : >"$t_f+err"; }
    [ "$t_u" ] && for t_x in $t_l; do t_x=${t_x#/proc/}; kill -s CONT "${t_x%/environ}"; done
    t_l=${t_l#/proc/} t_u=''
    sleep 1; [ $t_z -gt 1048576 ] || t_wake 2 "${t_l%%/*}" "$t_f+out" "$t_f+err"
  done
  rm -f "$t_f+out" "$t_f+err" ) </dev/null >/dev/null 2>&1 3<&- 4>&- & }
