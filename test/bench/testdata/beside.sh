#!/bin/sh
# sh beside.sh BIN: counts what becomes of events that many processes store at
# once, in a file, in an SQLite database, and in a spool. BIN is the directory of
# agent and spool-hook. It needs jq and sqlite3, and works in a directory of its own.
set -u
bin=$(cd "$1" && pwd)
HOME=$(mktemp -d)
export HOME
cd "$HOME" || exit 1
agent=
trap '[ -z "$agent" ] || kill "$agent"; cd /; wait; rm -rf "$HOME"' EXIT
unset XDG_CONFIG_HOME XDG_STATE_HOME CLAUDE_PROJECT_DIR CURSOR_PROJECT_DIR
mkdir -p project .config/spool-agent
echo 'cap = 0' >.config/spool-agent/config.toml

# event SIZE is an event with so many bytes of output.
event() {
	printf '{"hook_event_name":"PostToolUse","tool_name":"Bash","tool_response":"%s"}\n' "$(head -c "$1" /dev/zero | tr '\0' x)"
}

# at_once COMMAND runs it in 16 processes at once, 20 times in each.
at_once() {
	pids=
	for _ in $(seq 16); do
		(for _ in $(seq 20); do sh -c "$1"; done) 2>/dev/null &
		pids="$pids $!"
	done
	# shellcheck disable=SC2086 # one word for each
	wait $pids
}

# whole is how many lines of standard input are JSON.
whole() { jq -R 'fromjson? | 1' | wc -l; }

# writers COMMAND stores 800 payloads from 8 processes, and then makes the file done.
writers() {
	pids=
	for i in $(seq 8); do
		(for j in $(seq 100); do sh -c "$1" sh "<$i-$j>"; done) &
		pids="$pids $!"
	done
	# shellcheck disable=SC2086 # as above
	wait $pids
	: >"$HOME/done"
}

# different is how many different payloads are in the file taken.
different() { grep -o '<[0-9-]*>' "$HOME/taken" | sort -u | wc -l; }

event 600 >small
event 200000 >large
at_once 'cat small >>small.log'
echo "cat >>file, 320 events of 600 bytes: $(whole <small.log) whole lines"
at_once 'cat large >>large.log'
echo "cat >>file, 320 events of 200 kB: $(whole <large.log) whole lines"

sqlite3 q.db 'create table events (event text); pragma journal_mode = wal' >/dev/null
at_once "sqlite3 q.db \"insert into events values ('x')\""
echo "SQLite without a timeout, 320 inserts: $(sqlite3 q.db 'select count(*) from events') done"
sqlite3 q.db 'delete from events'
at_once "sqlite3 -cmd '.timeout 5000' q.db \"insert into events values ('x')\""
echo "SQLite with a timeout of 5 s, 320 inserts: $(sqlite3 q.db 'select count(*) from events') done"

: >taken
# shellcheck disable=SC2016 # writers' shell expands it
writers 'echo "$1" >>drained.log' &
until [ -e "$HOME/done" ]; do
	if [ -e drained.log ]; then
		cat drained.log >>taken
		: >drained.log
	fi
done
cat drained.log >>taken
echo "cat file; : >file, beside 8 writers of 800 events: $(different) taken"

cd project || exit 1
"$bin/agent" run --project . --log-level error &
agent=$!
until "$bin/agent" status >/dev/null; do sleep 0.1; done
at_once "'$bin/spool-hook' claude <../large"
echo "spool-hook, 320 events of 200 kB: $("$bin/agent" drain --timeout 1m | whole) whole signals"
rm "$HOME/done"
: >../taken
writers "'$bin/agent' drop --payload \"\$1\"" &
until [ -e "$HOME/done" ]; do "$bin/agent" drain --timeout 1m >>../taken; done
"$bin/agent" drain --timeout 1m >>../taken
echo "agent drain, beside 8 writers of 800 events: $(different) taken, in $(wc -l <../taken) signals"
