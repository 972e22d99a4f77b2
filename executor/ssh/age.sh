# Once a day: tombstones, and what nobody asked for any more, go after 30 days; what runs stays.
for t_f in $(find "$t_d" -type f -mtime +30 -name '*+ack') ; do rm -f "$t_f"; done
for t_f in $(find "$t_d" -type f -mtime +30 -name '*+run'); do t_f=${t_f%+run}; t_i=${t_f##*/}; t_state
  case $t_now in running|orphan) ;; *) [ "$(find "$t_f+out" "$t_f+err" -mtime -30)" ] || rm -f "$t_f+run" "$t_f+cmd" "$t_f+in" "$t_f+out" "$t_f+err" "$t_f+way" "$t_f+got" "$t_f+stall" "$t_f+full" "$t_f+cut" ;; esac; done
find "$t_d" -type f -mtime +1 -name '*+stage*' -exec rm -f {} +
for t_f in $(find "$t_d" -type f -mtime +30 -name '*+out' -o -type f -mtime +30 -name '*+err'); do [ -e "${t_f%+*}+run" ] || rm -f "$t_f"; done
