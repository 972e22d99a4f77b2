# Launch, protocol 1: the functions, sent once on the stdin of `exec /bin/sh -s`, then one block for each command behind the assignments that
# launch.go writes. A block is one compound command, so a cut upload is a syntax error that runs nothing. The shell that runs t_go is the
# wrapper: the one that sshd started, or its subshell where that one stands by for further commands (t_k; see docs/durable.md).
# Builtins only, the one fork that a short command pays beside its own is the helper's. POSIX sh.
#   t_i id  t_f spool file prefix  t_d spool  t_m umask  t_w tail  t_F script file  t_N input file  t_X interpreter  t_q spool bound
#   t_B t_A boot id of the host when the start was first asked for (where it was known), and how many seconds ago that was
#   t_j t_J offsets to follow from  t_M 1: stderr goes to stdout  t_k r: the shell stands by afterwards  t_R 1: it has stood by before
#   t_O program that gives the command a session of its own  t_L 1: it may leave others behind  t_b boot id  t_p the wrapper's pid
#   "$@" arguments;  t_stage t_setup t_clean: functions that launch.go writes over where there is something to do
#
# State files, 0600 in a 0700 directory, named ID+WHAT (an id has no "+"):
#   run  made with O_EXCL: who makes it runs the command. Lines: "claim1 boot pid starttime session uptime ." of the wrapper (session "-":
#        it is not the wrapper's but the command's own; "=": it is shared with other commands);
#        "pid1 command helper ."; what the shell said ("Terminated"); last "exit1 status uptime0 uptime1 flags ."; flags: s the shell
#        told of a signal, f the disk was full, - none. A line without its " ." does not count.
#   cmd in   the script and its stdin, emptied when the command has ended
#   out err  the streams, whole
#   way      there when the helper brings the output: it was asked to follow
#   run also has lines of the guard. got "out err": offsets the controller has; stall, full, cut: see guard.sh
#   ack      tombstone, made before the rest goes: an exit1 line
# $1 s or b as in printf; mksh has no printf of its own, and the text must not be in the arguments of a program.
t_put() { case ${KSH_VERSION-} in
  *MIRBSD*) if [ "$1" = s ]; then print -rn -- "$2"; else print -n -- "$2"; fi ;;
  *) printf "%$1" "$2" ;; esac; }
t_fail() { rm -f "$t_f+run" "$t_f+cmd" "$t_f+in"; t_say fail "$@"; exit 1; }
t_stage() { :; }
t_setup() { :; }
t_clean() { :; }
# The helper: reads what the controller says, ":" to follow, ": OUT ERR" for what it has and ": OUT ERR k" for what it has stored; its silence
# (EOF: cut, or done) ends the tails, never the command. A word that comes too late is read by the shell that stands by, and means nothing there.
t_help() { trap '' PIPE; export TFW_HELPER="$t_i"; t_1='' t_2='' t_g='' t_W=$t_p t_gave=''
  while read -r t_a t_x t_y t_z; do case $t_a$t_x-$t_z in
    :-) [ "$t_1" ] && continue
      echo "$t_j $t_J" >"$t_f+got"; echo >"$t_f+way"
      t_say started "$t_p" "$t_b"; t_follow "$t_j" "$t_J"; t_guard '' & t_g=$! ;;
    :*-) echo "$t_x $t_y" >"$t_f+got" ;;
    :*-k) t_give "$t_x" "$t_y" ;; esac; done <&3
  exec 4>&- >/dev/null
  [ "$t_1" ] && { kill -s KILL $t_1 $t_2; t_slay $t_g; }
  t_guard end
  [ "$t_e" ] && t_heirs && t_mind; }
# What the login would find otherwise than this shell did: its home, or a file that it reads first.
t_stale() { [ . -ef "$PWD" ] || return 0
  for t_x in "$HOME/.bashrc" "$HOME/.zshenv" "$HOME/.config/fish/config.fish" "$HOME/.tcshrc" "$HOME/.cshrc" "$HOME/.ssh/environment" "$HOME/.ssh/rc" \
    /etc/bash.bashrc /etc/bashrc /etc/zsh/zshenv /etc/zshenv /etc/csh.cshrc /etc/profile.d /etc/environment /etc/passwd /etc/group /etc/shells; do
    [ "$t_x" -nt /proc/self/fd/9 ] && return; done
  return 1; }
t_ours() { [ -O "$t_d" ] && [ -d "$t_d" ] && [ ! -h "$t_d" ]; }
t_go() { trap : HUP INT QUIT TERM PIPE
  [ "$t_R" ] && t_stale && { t_say stale; exit 1; }
  t_ours || { t_say fail nospool "$t_d is gone or not ours"; exit 1; }
  umask 077
  t_p='' t_T=0 t_s=0 t_u=0
  { read -r t_p t_x t_x t_x t_x t_s t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_x t_T t_x </proc/self/stat
  read -r t_u t_x </proc/uptime; } 2>/dev/null
  [ "$t_p" ] || t_p=$$
  [ "$t_k" ] && { t_s='='; [ "$t_O" ] && t_s=-; }
  # Booted since then: it may have been started, and its claim be gone with the disk's cache or /tmp. Whoever attaches will see.
  if [ "$t_B" ] && [ "$t_b" != - ]; then [ "$t_B" = "$t_b" ]; else [ "${t_u%%.*}" -ge "$t_A" ]; fi || { t_say moved; exit 1; }
  # The commit point. The body runs only when the file was made by us, so t_o tells a full disk from a file that was there.
  t_o=''; set -C
  { t_o=1; echo "claim1 $t_b $t_p $t_T $t_s $t_u ."; } 2>/dev/null >"$t_f+run" || {
    [ "$t_o" ] && t_fail full
    if [ -e "$t_f+run" ]; then t_say dup; elif [ -w "$t_d" ]; then t_say fail full; else t_say fail readonly "$t_d"; fi
    exit 1; }
  set +C
  # Looked for after the claim, so that none can come between: a tombstone is made before the claim that it outlives is removed.
  [ -e "$t_f+ack" ] && { rm -f "$t_f+run"; t_x=''; read -r t_x <"$t_f+ack"; t_say acked "$t_x"; exit 1; }
  t_stage 2>/dev/null || t_fail full
  exec 3<&0 2>>"$t_f+run"
  t_help </dev/null 2>/dev/null &
  t_H=$!
  # No "&" on the way to the command: it would have SIGINT ignored for ever. /proc/self is the subshell here: its pid without a fork.
  # Its files are there before it is named: who attaches and finds neither knows that it is yet to begin.
  ( exec <"$t_N" >>"$t_f+out" 3<&- 4>&- 9<&-
  for t_x in /proc/self/task/*; do echo "pid1 ${t_x##*/} $t_H ." >&2; done
  TFW_RUN=$t_i; export TFW_RUN; set -- $t_O $t_X ${t_F:+"$t_F"} "$@"
  if [ "$t_M" ]; then exec 2>&1; else exec 2>>"$t_f+err"; fi
  umask $t_m
  t_setup
  exec "$@" )
  t_c=$?
  t_g=- t_v=0
  [ $t_c -gt 128 ] && while read -r t_x; do case $t_x in *1' '*' .'|'') ;; *) t_g=s ;; esac; done <"$t_f+run" 2>/dev/null
  # A byte that cannot be written now may have been one of the command's before. A program of those that start no others, which says nothing and succeeds, has lost nothing.
  { { [ $t_c != 0 ] || [ "$t_L" ] || [ -s "$t_f+out" ] || [ -s "$t_f+err" ]; } && { [ -e "$t_f+full" ] || ! echo . >"$t_f+full"; } && t_g=f$t_g; } 2>/dev/null
  read -r t_v t_x 2>/dev/null </proc/uptime
  t_e="exit1 $t_c $t_u $t_v $t_g ."
  echo "$t_e" >&2
  # Either the helper brings the output, or it is stopped before it can begin to. Where it just began the controller must attach.
  t_h=1; [ -e "$t_f+way" ] || { t_h=''; kill -s KILL $t_H; wait $t_H; [ -e "$t_f+way" ] && t_h=2; } 2>/dev/null
  if [ "$t_h" = 2 ]; then
    t_say again; t_k=''
    for t_x in $(grep -lzxF "TFW_HELPER=$t_i" /proc/[0-9]*/environ); do t_x=${t_x#/proc/}; kill -s KILL "${t_x%/environ}"; done 2>/dev/null
  elif [ ! -e "$t_f+out" ] || [ ! -e "$t_f+err" ] || [ ! -e "$t_f+run" ]; then t_say gone "$t_p" "$t_b" "$t_e"; t_k=''
  elif [ "$t_h" ]; then
    if t_size; then t_say end "$t_p" "$t_b" "$t_z" "$t_y" "$t_e"; else t_say gone "$t_p" "$t_b" "$t_e"; fi
    # sshd closes stdin when its child ends, and with that the helper would stop before all is read.
    t_clean; t_clean() { :; }
    wait $t_H; t_k=''
  else
    t_x=''; t_y='dd bs=131072 count=1'
    [ -s "$t_f+out" ] && { t_say out; $t_y <"$t_f+out" 2>/dev/null || t_x=x; }
    [ -s "$t_f+err" ] && { t_x=e$t_x; { t_say all; $t_y <"$t_f+err" || t_x=x$t_x; t_say end; } 2>/dev/null >&4; }
    t_say whole "$t_p" "$t_b" "$t_x.$t_k" "$t_e"
  fi
  t_clean
  [ "$t_L" ] && [ "$t_h" != 1 ] && t_rec && [ "$t_own" ] && t_heirs && { t_W=$t_p; t_mind; }
  [ "$t_K" ] && [ ! "$t_R" ] && rm -f "$t_d/standby.$$+stage"
  [ "$t_k" ]; exit; }
# A shell that is to stand by needs setsid for its commands, and a file that is as old as its login, of which an open descriptor is enough.
t_wait() { for t_x in /usr/bin/setsid /bin/setsid; do [ -x "$t_x" ] && t_S=$t_x; done
  t_x=$t_d/standby.$$+stage
  [ "$t_S" ] && [ -r /proc/self/stat ] && t_ours && { echo >"$t_x"; } 2>/dev/null && exec 9<"$t_x" && t_K=r || t_S=''; }
# The probe has just found that a scope of its own is wanted (see probe.sh): nothing is started but there.
[ "${t_z-}" = scope ] && { t_say stale; exit; }
trap : HUP INT QUIT TERM PIPE
umask 077
exec 4>&2 2>/dev/null # "Killed" is no part of the command's stderr
t_K='' t_S='' t_b=-; read -r t_b 2>/dev/null </proc/sys/kernel/random/boot_id
