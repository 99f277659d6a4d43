# --- from here on the script is the same for every attempt and every engine -----------------------
#
# Above stand one attempt's settings: folder number program path limit grace memory disk input boxed
# default_signals shown bell look, and as "$@" the words after "env -i": the environment, the sandbox if there
# is one, and the command. They are the only words that are not fixed here.
#
# POSIX sh (dash, bash, busybox); builtins first, for forks are what a short job costs. At most five
# programs are executed: sleep (the limit's), setsid, env, the command, and wc if it wrote anything; and
# grep on a cluster, where the command may have left something.
#
# File descriptor 9, where the engine hands one over, holds the lock that says "alive". It stays with
# this shell alone: the command and the sleeps close it.

set -f
umask 077
export LC_ALL=C
tries=
[ -z "$bell" ] || export PATH="/usr/bin:/bin:/usr/local/bin:$PATH"
# On a cluster the scheduler brings the script itself, and the folder may be seen there a little later.
until cd "$folder/run/$number" 2>/dev/null; do
    [ -n "$bell" ] && [ "${#tries}" -lt 60 ] || exit 75
    tries=x$tries
    sleep 1
done

# ring: have the gateway look. A hint: it also looks by itself.
ring() {
    [ -z "$bell" ] || true 2>/dev/null >"$bell"
}

# after SECONDS SIGNAL: send this shell SIGNAL then, unless it is gone (its number may be another's).
# A TERM takes the watch away, with its sleep.
after() {
    {
        exec 9>&- >/dev/null 2>&1
        nap=
        trap '[ -z "$nap" ] || kill -s KILL "$nap"; exit' TERM
        sleep "$1" &
        nap=$!
        wait "$nap" || exit
        speak_to_parent "$2"
    } &
    watches="$watches $!"
}

# watch_limit: send this shell ALRM when $limit is over. What the file `limit` says takes its place
# (whole seconds from the start); it is read anew before that, every $look seconds where that is said
# (not every scheduler can send a USR1), and on a USR1, which is ignored where this is called: one that
# comes before it is trapped is for what the file says already.
watch_limit() {
    {
        exec 9>&- >/dev/null 2>&1
        nap= news= broken= left=$limit
        trap '[ -z "$nap" ] || kill -s KILL "$nap"; exit' TERM
        trap 'news=yes; [ -z "$nap" ] || kill -s KILL "$nap"' USR1
        read_limit
        while [ "$left" != 0 ]; do
            broken=
            if [ -n "$look" ] && [ "${left%.*}" -gt "$look" ]; then
                left=$look broken=yes
            fi
            sleep "$left" &
            nap=$!
            [ -z "$news" ] && wait "$nap" || broken=yes
            [ -z "$news" ] || kill -s KILL "$nap"
            nap= news= left=0
            read_limit
        done
        speak_to_parent ALRM
    } &
    watch=$!
    watches="$watches $watch"
}

# What is left then is a second more: neither time is more exact, and a limit is never early. A sleep
# that was broken off is no end: schedulers send the whole group USR1 before they stop it.
read_limit() {
    asked=
    [ -z "$broken" ] || asked=${limit%.*}
    plain limit && read -r asked <limit
    case $asked in '' | *[!0-9]* | ???????????*) return ;; esac
    read -r now _ </proc/uptime
    left=$((asked + 1 - (${now%%.*} - ${began%%.*})))
    [ "$left" -gt 0 ] || left=0
}

# A command without a limit is given one while it runs, or another one then.
relimit() {
    signalled=yes relimited=yes
    if [ "$watch" != $$ ]; then
        kill -s USR1 "$watch"
    elif plain limit; then
        trap '' USR1
        watch_limit
        trap relimit USR1
    fi
}

# Its number may be another's once it is gone; then this process has another parent.
speak_to_parent() {
    while read -r key parent; do
        [ "$key" != PPid: ] || break
    done </proc/self/status
    [ "$parent" != "$$" ] || kill -s "$1" "$$"
}

# ask WHY: end the command; the first reason counts. TERM to all of it, KILL after the grace time.
ask() {
    signalled=yes
    why=${why:-$1}
    [ -n "$body" ] && [ -z "$stopping" ] || return 0
    stopping=yes
    after "$grace" VTALRM
    find_group
    has_begun && kill -s TERM -- "-$group" 2>/dev/null && return
    # Not begun, or no such group yet: what is to become the command has nothing to tidy up.
    end_at_once
}

# A scheduler may have nothing but TERM to tell it.
asked() {
    word=
    [ -z "$bell" ] || ! plain told || read -r word <told
    case $word in SIGXFSZ) ask disk ;; *) ask "asked $1" ;; esac
}

# A namespace's first process has its group before it has a child, and would pass the TERM by.
has_begun() {
    [ -n "$boxed" ] && [ -r "/proc/$group/task/$group/children" ] || return 0
    # Each read fails: that file has no line end. And a second signal may break one off.
    for try in 1 2 3 4 5; do
        child=
        read -r child _ <"/proc/$group/task/$group/children"
        [ -z "$child" ] || return 0
    done
    return 1
}

# In a sandbox the outer bwrap is left alone: it ends once its command is dead.
end_at_once() {
    signalled=yes
    find_group
    kill -s KILL -- "-$group" 2>/dev/null
    kill -s KILL "$group" 2>/dev/null
}

# In a sandbox the group to signal is that of the namespace's first process. TERM passes it by (a
# namespace's first process ignores what it has no handler for) and reaches the command; bwrap's own
# outer process stands outside that group, for it would die of TERM and take the command with it.
find_group() {
    group=$body
    [ -n "$boxed" ] || return 0
    for try in 1 2 3 4 5; do
        read -r _ key value _ <box && break
    done
    [ "$key" != '"child-pid":' ] || group=${value%,}
}

# bwrap ends with its command, and what that left in the namespace dies of it, a moment later.
see_it_empty() {
    find_group
    [ "$group" != "$body" ] || return 0
    looks=0
    # A namespace's first process is a zombie (or gone) only when all the others are dead.
    while read -r _ _ state _ 2>/dev/null <"/proc/$group/stat" && [ "$state" != Z ]; do
        looks=$((looks + 1))
        [ "$looks" -lt 1000 ] || sleep 1
    done
}

# end_remains: kill what the command left in sessions of its own. Schedulers do not find all of it (PBS
# knows a job by its session, Grid Engine spares root's), and the gateway is not here to do it. A process
# is of this attempt if the token is in its environment, word for word, and no other is. This shell is none:
# a scheduler does not know the token's name. Whoever does looks after what it starts.
end_remains() {
    [ -n "$bell" ] && [ -z "$MAILGATE_TOKEN" ] && may_remain || return 0
    for try in 1 2 3 4 5 6 7 8 9 10; do
        left=$(cd /proc && set +f && grep -lszxF "MAILGATE_TOKEN=${bell##*/}" [0-9]*/environ)
        [ -n "$left" ] || return 0
        for place in $left; do
            kill -s KILL "${place%/environ}" 2>/dev/null
        done
        sleep 0.1 2>/dev/null || sleep 1
    done
}

# What began after the command has a higher number, unless numbers began anew: then, and where many have
# begun, all of /proc is looked through.
may_remain() {
    newest=0
    read -r _ _ _ _ newest </proc/loadavg
    [ "$newest" -ge "$body" ] && [ $((newest - body)) -lt 200 ] || return 0
    number=$body
    while [ "$number" -lt "$newest" ]; do
        number=$((number + 1))
        [ -r "/proc/$number/environ" ] || continue
        parent=
        read -r _ _ _ parent _ 2>/dev/null <"/proc/$number/stat"
        # The sleep of the limit's watch.
        [ "$parent" = "$watch" ] || return 0
    done
    return 1
}

# `command -v` would do, did it not also accept the shell's own words (cd, if).
have_program() {
    case $program in
    /*) [ -f "$program" ] && [ -x "$program" ] && return 0; return 1 ;;
    */*) [ -f "../../work/$program" ] && [ -x "../../work/$program" ] && return 0; return 1 ;;
    esac
    IFS=:
    for place in $path; do
        [ -f "$place/$program" ] && [ -x "$place/$program" ] && { unset IFS; return 0; }
    done
    unset IFS
    return 1
}

# A command may put a pipe or a link where its output was, on which reading would hang.
plain() {
    [ -f "$1" ] && [ ! -L "$1" ]
}

# The sizes show a shared file system that lags: who reads fewer bytes than these has not seen all.
measure() {
    stdout=- stderr=-
    plain ../../out/stdout && plain ../../out/stderr || return
    stdout=0 stderr=0
    [ -s ../../out/stdout ] || [ -s ../../out/stderr ] || return
    set -- $(wc -c ../../out/stdout ../../out/stderr)
    stdout=${1:--} stderr=${3:--}
}

# record LINE...: the truth about the end. Written in place into blocks that were set aside before the
# start, by a builtin: neither a full disk nor a full process table can keep it from being written,
# as a file renamed into place could. It counts from the moment when its last line is there.
record() {
    printf '%s\n' "$@" end 1<>exit
    recorded=yes
    ring
}

could_not_start() {
    record "why could-not-start $*"
    finish
}

# Ends what this shell left sleeping. Only a group's leader may speak to its whole group: elsewhere
# the scheduler's own processes could be in it.
finish() {
    trap '' TERM
    read -r _ _ _ _ leader _ </proc/$$/stat
    if [ "$leader" = "$$" ]; then
        kill -s TERM 0
    elif [ -n "$watches" ]; then
        kill -s TERM $watches 2>/dev/null
    fi
    exit "${1:-0}"
}

# The shell gives up by itself where it cannot fork. A command that runs then is ended, unrecorded.
give_up() {
    if [ -n "$recorded" ]; then
        return
    elif [ -n "$over" ]; then
        record "status $status" "${why:+why $why}"
    elif [ -n "$body" ]; then
        end_at_once
    elif [ -n "$claimed" ]; then
        record 'why could-not-start no-process'
    fi
}

begin() {
    exec 9>&-
    ulimit -c 0
    # The gateway allows itself more; a program may walk through all that it may open.
    [ -z "$MAILGATE_FILES" ] || ulimit -S -n "$MAILGATE_FILES" 2>/dev/null
    # Fails where the gateway's own limit is lower; that one then holds.
    [ -z "$memory" ] || ulimit -v "$memory" 2>/dev/null
    [ -z "$disk" ] || ulimit -f "$disk" 2>/dev/null
    cd ../../work || exit 126
    # A session of its own, so that its group is its own. A shell without job control starts what it
    # does not wait for with INT and QUIT ignored, and only env can give them back.
    [ -n "$grouped" ] || exec setsid env -i $default_signals "$@"
    exec timeout 0 env -i $default_signals "$@"
}

# Three hundred years, and no more digits than a limit may have.
never=9999999999
signalled= relimited= why= body= stopping= claimed= over= recorded= watches= watch=$$
read -r began _ </proc/uptime

# The watch is forked before there are traps: a child that still has its parent's traps for a moment
# would swallow the TERM of `finish`.
[ -z "$look" ] || limit=${limit:-$never}
if [ -n "$limit" ]; then
    trap '' USR1
    watch_limit
fi
trap relimit USR1
# A watch that has spoken is no more.
trap 'watches= ; ask limit' ALRM
trap 'watches= ; end_at_once' VTALRM
for name in TERM INT HUP XCPU USR2; do
    trap "asked $name" "$name"
done
# The engine's word for a command that has written too much.
trap 'ask disk' XFSZ
trap give_up EXIT

# `true` is no special builtin: its failing redirection does not end the shell.
set -C
true 2>/dev/null >claim || { [ -e claim ] && finish || finish 75; }
set +C
claimed=yes
printf '%s\n' "pid $$" "watch $watch" end 1<>claim
ring
# A node may have another env than the gateway.
[ -z "$bell" ] || [ -z "$default_signals" ] || env $default_signals true 2>/dev/null ||
    default_signals=

# PBS counts, stops and ends what is in the script's session, and nothing else: there the command stays in
# it. GNU's timeout(1) makes a group, and with 0 nothing else; others know no --foreground.
grouped=
[ -z "$bell" ] || [ -z "$PBS_ENVIRONMENT" ] || ! timeout --foreground 0 true 2>/dev/null || grouped=yes

true >../../out/stdout && true >../../out/stderr || could_not_start no-output
[ -d ../../work ] || could_not_start no-folder
[ -r "$input" ] || could_not_start no-input
command -v setsid >/dev/null && command -v env >/dev/null || could_not_start no-tools
have_program || could_not_start not-found "$shown"
[ -z "$why" ] || { record "why $why"; finish; }

if [ -n "$boxed" ]; then
    begin "$@" <"$input" >../../out/stdout 2>../../out/stderr 8>box &
else
    begin "$@" <"$input" >../../out/stdout 2>../../out/stderr &
fi
body=$!
[ -z "$why" ] || ask "$why"

# A trap interrupts wait, whose status then says nothing of the command. How it ended is only asked
# for where no trap has run; after one, it matters that it is dead. A signal that comes between two
# rounds has dash's wait return too, with its trap run a moment before.
while
    signalled=
    wait "$body"
    status=$?
    { [ -n "$signalled" ] || [ "$status" -gt 128 ]; } && [ -d "/proc/$body" ]
do :; done
if [ -n "$relimited" ] && [ -z "$why" ]; then
    # Its status may be the trap's; a shell that gave the command's own out knows no more of it.
    wait "$body" 2>/dev/null
    again=$?
    [ "$again" = 127 ] || status=$again
fi
over=yes
# A scheduler tells all processes of a job, one after the other: the command, or a child of it, may
# have heard of it first.
if [ -n "$bell" ] && [ -z "$why" ]; then
    ended=$body body=
    sleep 0.1 2>/dev/null || sleep 1
    body=$ended
fi
trap '' TERM INT HUP XCPU USR1 USR2 XFSZ ALRM VTALRM

# What it left running in its group. Its number cannot be another's yet: it was reaped just now.
kill -s KILL -- "-$body" 2>/dev/null
[ -z "$boxed" ] || see_it_empty
end_remains

measure
[ -n "$why" ] || case $status in
126 | 127)
    # The shell cannot tell "no such interpreter" from a command's own exit 127. env can, in a line.
    line=
    [ "$stderr" = - ] || [ "$stderr" -gt 9999 ] || read -r line <../../out/stderr
    case $line in "env: '$program': "*) could_not_start not-executable "$shown" ;; esac
    ;;
1)
    # bwrap says exit-code for every command that it really started.
    found=
    [ -z "$boxed" ] || while read -r _ key _; do
        [ "$key" != '"exit-code":' ] || found=yes
    done <box
    [ -z "$boxed" ] || [ -n "$found" ] || could_not_start no-sandbox "$shown"
    ;;
esac

record "status $status" "${why:+why $why}" "stdout $stdout" "stderr $stderr"
finish
