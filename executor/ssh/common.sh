# What every script of ours begins with.  t_r the byte 0x1E  t_n nonce of this exec: output can never be taken for control.
t_say() { echo "${t_r}TFW1 $t_n $*"; }
# t_e: the end record, if there is one. t_G: who enrolled last as the guard. t_own: the command's process group, where it has one of its own.
t_rec() { t_e='' t_G='' t_own=''; while read -r t_l; do case $t_l in 'exit1 '*' .') t_e=$t_l ;; 'guard1 '*' .') t_G=$t_l ;;
  'claim1 '*' - '*' .') t_own=- ;; 'pid1 '*' .') [ "$t_own" ] && { t_own=${t_l#pid1 }; t_own=${t_own%% *}; } ;; esac; done <"$t_f+run"; [ "$t_e" ]; } 2>/dev/null
# t_z, t_y: bytes of out and err. By ls, since wc of busybox reads the files whole; err sorts before out.
t_size() { set -- $(ls -ln "$t_f+err" "$t_f+out" 2>/dev/null); t_z=${14-} t_y=${5-}; [ "$t_z" ]; }
# Sleeps until one of the files $3... grows or the process $2 is gone; $1 is how long that may go unseen. GNU tail waits without a fork
# (it stats: inotify has few instances, and the tails of t_follow need them) and ends as its stdout takes nothing; timeout is for zombies,
# which --pid takes for alive, and for what grew before tail had opened it. Elsewhere it is but a sleep.
t_wake() { if [ "$t_w" = gnu ]; then t_x=$1 t_y=$2; shift 2; timeout -s KILL 30 tail ---disable-inotify -q -n 0 -s "$t_x" --pid="$t_y" -f "$@" 1</dev/null 2>/dev/null
  else sleep "$1" || sleep 1; fi; }
# Kills a subshell of ours, and what it waits for.
t_slay() { t_x=''; read -r t_x <"/proc/$1/task/$1/children"; kill -s KILL "$1"; for t_y in $t_x; do t_slay "$t_y"; done; }
# Tails from offsets $1 and $2: GNU tail wakes by inotify, others are polled by the file offset that cat shares, less often while nothing comes.
t_follow() {
  until [ -e "$t_f+err" ] && [ -e "$t_f+out" ] || ! [ -e "$t_f+run" ]; do sleep 0.05 || sleep 1; done
  t_say err >&4
  if [ "$t_w" = gnu ]; then
    tail -s 0.1 -c +$(($1+1)) -f "$t_f+out" 3<&- 4>&- & t_1=$!
    tail -s 0.1 -c +$(($2+1)) -f "$t_f+err" >&4 3<&- & t_2=$!
  else
    { exec 5<"$t_f+out" 6<"$t_f+err"; dd bs=1 count=0 skip="$1" <&5; dd bs=1 count=0 skip="$2" <&6; t_v='' t_k=0
      while cat <&5; do cat <&6 >&4
        t_l=$t_v t_v='' t_k=$((t_k+1))
        for t_x in 5 6; do t_z=''; read -r t_y t_z <"/proc/self/fdinfo/$t_x"; t_v=$t_v.$t_z; done
        [ "$t_v" = "$t_l" ] || t_k=0
        if [ $t_k -gt 40 ]; then sleep 0.25 || sleep 1; else sleep 0.05 || sleep 1; fi; done; } 3<&- & t_1=$!
  fi; }
