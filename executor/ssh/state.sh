# What attach, kill, sweep and strays need to know of a command.
t_path=$PATH PATH=$PATH:/usr/bin:/bin:/usr/sbin:/sbin
t_boot=-; read -r t_boot 2>/dev/null </proc/sys/kernel/random/boot_id
# t_S state, t_P parent, t_s session, t_T start time of a process; a newline or ")" in its name does no harm.
t_stat() { t_l=''; while read -r t_x; do t_l="$t_l $t_x"; done 2>/dev/null <"/proc/$1/stat"
  [ "$t_l" ] || return; set -- ${t_l##*")"}; t_S=$1 t_P=$2 t_s=$4 t_T=${20}; }
# t_cb boot id, t_wp wrapper, t_ws its start time, t_ss session, t_cp command, t_hp helper of $t_f. A claim is whole a moment after it is made.
t_claim() { t_cb='' t_cp='' t_hp='' t_k=0
  until [ "$t_cb" ] || [ $t_k -gt 20 ]; do
    [ -e "$t_f+run" ] || return
    [ $t_k -gt 0 ] && { sleep 0.1 || sleep 1; }; t_k=$((t_k+1))
    while read -r t_a t_x t_y t_z t_l t_v t_o; do case $t_a in
      claim1) [ "$t_o" = . ] && t_cb=$t_x t_wp=$t_y t_ws=$t_z t_ss=$t_l ;;
      pid1) [ "$t_z" = . ] && t_cp=$t_x t_hp=$t_y ;; esac; done 2>/dev/null <"$t_f+run"
  done; [ "$t_cb" ]; }
# Alive means: that very process, this boot, no zombie.
t_alive() { [ "$t_cb" = "$t_boot" ] && t_stat "$t_wp" && [ "$t_T" = "$t_ws" ] && case $t_S in [ZX]) false ;; esac; }
t_marked() { t_stat "$1" && case $t_S in [ZX]) false ;; esac && grep -qzxF "TFW_RUN=$t_i" "/proc/$1/environ" 2>/dev/null; }
# t_now: none, acked, exit, reboot, running, orphan (the wrapper died, the command lives), lost.
t_state() {
  if ! t_claim; then
    t_now=none; [ -e "$t_f+run" ] && t_now=torn
    [ -e "$t_f+ack" ] && { t_e=''; read -r t_e <"$t_f+ack"; t_now=acked; }
  elif t_rec; then t_now='exit'
  elif [ "$t_cb" != "$t_boot" ]; then t_now=reboot
  elif t_alive; then t_now=running
  elif t_rec; then t_now='exit'
  elif [ "$t_cp" ] && t_marked "$t_cp"; then t_now=orphan
  else t_now=lost; fi; }
