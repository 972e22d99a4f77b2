# Strays: processes that carry the mark of a command which no spool says is running.
exec 2>/dev/null
for t_p in $(grep -lzE '^TFW_RUN=[A-Za-z0-9]' /proc/[0-9]*/environ); do
  t_p=${t_p#/proc/} t_p=${t_p%/environ}
  t_i=$(tr '\n\0' ' \n' <"/proc/$t_p/environ" | sed -n 's/^TFW_RUN=//p'); t_i=${t_i%%[!A-Za-z0-9._-]*}
  [ "$t_i" ] && t_marked "$t_p" || continue
  for t_x in "$t_d" /var/tmp/tfw-*; do t_f=$t_x/$t_i; [ -e "$t_f+run" ] && break; done
  t_state; case $t_now in running|orphan|torn) continue ;; esac
  t_stat "$t_p" || continue
  t_x=''; read -r t_x <"/proc/$t_p/comm"
  t_say stray "$t_p" "$t_i" "$t_x"
done
t_say 'done'
