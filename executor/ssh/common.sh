# What every script of ours begins with.  t_r the byte 0x1E  t_n nonce of this exec: output can never be taken for control.
t_say() { echo "${t_r}TFW1 $t_n $*"; }
# t_e: the end record, if there is one.
t_rec() { t_e=''; while read -r t_l; do case $t_l in 'exit1 '*' .') t_e=$t_l ;; esac; done <"$t_f+run"; [ "$t_e" ]; } 2>/dev/null
# t_z, t_y: bytes of out and err. By ls, since wc of busybox reads the files whole; err sorts before out.
t_size() { set -- $(ls -ln "$t_f+err" "$t_f+out" 2>/dev/null); t_z=${14-} t_y=${5-}; [ "$t_z" ]; }
# Tails from offsets $1 and $2: GNU tail wakes by inotify, others are polled by the file offset that cat shares.
t_follow() {
  until [ -e "$t_f+err" ] && [ -e "$t_f+out" ] || ! [ -e "$t_f+run" ]; do sleep 0.05 || sleep 1; done
  t_say err >&4
  if [ "$t_w" = gnu ]; then
    tail -s 0.1 -c +$(($1+1)) -f "$t_f+out" 3<&- 4>&- & t_1=$!
    tail -s 0.1 -c +$(($2+1)) -f "$t_f+err" >&4 3<&- & t_2=$!
  else
    { exec 5<"$t_f+out" 6<"$t_f+err"; dd bs=1 count=0 skip="$1" <&5; dd bs=1 count=0 skip="$2" <&6
      while cat <&5; do cat <&6 >&4; sleep 0.05 || sleep 1; done; } 3<&- & t_1=$!
  fi; }
