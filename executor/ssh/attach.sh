# Attach, protocol 1: goes on with a command that was started before.  t_1 t_2: offsets the controller has. See launch.sh for the state files.
trap '' PIPE
exec 3<&0 4>&2 2>/dev/null
t_a1=$t_1 t_a2=$t_2 t_1='' t_2=''
t_end() { case $t_now in
  exit) if t_size; then t_say end "$t_wp" "$t_cb" "$t_z" "$t_y" "$t_e"; else t_say gone "$t_wp" "$t_cb" "$t_e"; fi ;;
  none|torn) t_say gone 0 - ;;
  acked) t_say acked "$t_e" ;;
  *) if t_size; then t_say lost "$t_now" "$t_z" "$t_y"; elif [ -e "$t_f+run" ] && [ ! "$t_cp" ]; then t_say lost "$t_now" 0 0; else t_say gone "$t_wp" "$t_cb"; fi ;; esac; }
t_part() { tail -c +$(($2+1)) "$1" | head -c $(($3-$2)); }
t_state
case $t_now in none|torn|acked) t_say state "$t_now" "$t_e"; exit ;; esac
# What the store had, and lost, is not here any more.
t_x=0 t_y=0; [ -e "$t_f+cut" ] && read -r t_x t_y <"$t_f+cut"
[ "$t_a1" -ge "$t_x" ] && [ "$t_a2" -ge "$t_y" ] || { t_say gone "$t_wp" "$t_cb"; exit; }
t_say started "$t_wp" "$t_cb"
case $t_now in running|orphan) ;; *)
  t_say err >&4
  t_end; t_size && { t_part "$t_f+out" "$t_a1" "$t_z"; t_part "$t_f+err" "$t_a2" "$t_y" >&4; }
  # Without this word the channel broke off, and nothing is known of what did not come.
  t_say over; t_say over >&4
  exit ;; esac
[ "$t_now" = orphan ] && t_say orphan
echo "$t_a1 $t_a2" >"$t_f+got"
# On a host that is busy a command may take seconds from its claim to its files, which are there before its pid1: only after that they are missing.
until [ -e "$t_f+out" ]; do
  sleep 0.3 || sleep 1; t_state
  [ -e "$t_f+out" ] || { [ "$t_now" = running ] && [ ! "$t_cp" ]; } || { t_end; exit; }
done
t_follow "$t_a1" "$t_a2"
# Whoever dies without a word is missed within a moment: existence is the test, not silence.
t_guarded() { set -- $t_G; [ "${2-}" ] && t_stat "$2" && [ "$t_T" = "$3" ] && case $t_S in [ZX]) false ;; esac; }
t_W=$t_wp t_gave=''
( t_g='' t_u=0; while :; do
    t_state; case $t_now in running|orphan) ;; *) t_end; exit ;; esac
    [ -e "$t_f+out" ] || { t_say gone "$t_wp" "$t_cb"; exit; }
    if [ -e "$t_f+stall" ]; then [ "$t_g" ] || { read -r t_g t_x <"$t_f+stall"; t_say stall "$t_g" "$t_x" "$t_d"; }; elif [ "$t_g" ]; then t_g=''; t_say resumed; fi
    # The helper that the launch left behind is the guard, or another attach's. Without them it is for us to see that there is one.
    t_guarded || t_mind
    if [ "$t_w" = gnu ]; then t_x=$t_wp; [ "$t_now" = running ] || t_x=$t_cp; t_wake 0.1 "$t_x" "$t_f+run"; sleep 0.05 || sleep 1
    elif [ $((t_u+=1)) -lt 40 ]; then sleep 0.25 || sleep 1; else sleep 1; fi
  done ) 3<&- 4>&- & t_3=$!
while read -r t_a t_x t_y; do case $t_a in
  got) echo "$t_x $t_y" >"$t_f+got" ;;
  kept) t_give "$t_x" "$t_y" ;; esac; done <&3
kill -s KILL $t_1 $t_2; t_slay $t_3
