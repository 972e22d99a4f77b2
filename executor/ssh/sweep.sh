# Sweep: what the controller has stored is forgotten, but for a tombstone.  t_K: ids, each with the bytes of both streams or "- -", in triples.
# Not before the end: what still runs is left alone.
t_sweep() { t_R=''
  while [ $# -ge 3 ]; do
    t_i=$1 t_f=$t_d/$1
    if [ -e "$t_f+run" ]; then
      t_rec || { t_state; case $t_now in running|orphan) shift 3; continue ;; esac; t_e="exit1 - 0 0 l ."; }
      echo "${t_e%.}$2 $3 ." >"$t_f+ack" && t_R="$t_R $t_f+run $t_f+cmd $t_f+in $t_f+out $t_f+err $t_f+way $t_f+got $t_f+stall $t_f+full $t_f+cut"
    fi
    shift 3
  done
  [ "$t_R" ] && rm -f $t_R; }
