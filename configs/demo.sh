#!/bin/sh
# The main job from end to end, in a few seconds: hooks drop, the agent folds,
# a consumer drains. "make demo" builds the agent and runs this.
#
# It works in a temporary directory, with a home, configuration and state of its
# own, and removes it at the end, or when interrupted.

set -eu
here=$(cd -- "$(dirname -- "$0")" && pwd)
agent=$here/../bin/agent
dir=$(mktemp -d)
served=

cleanup() {
	trap - EXIT INT TERM HUP
	[ -z "$served" ] || kill "$served" 2>/dev/null || true
	wait
	rm -rf -- "$dir"
}
trap cleanup EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

export HOME="$dir/home" XDG_CONFIG_HOME="$dir/config" XDG_STATE_HOME="$dir/state"
mkdir "$HOME"
project=$dir/project
mkdir "$project"
cd "$project"

if [ -t 1 ] && [ -z "${NO_COLOR-}" ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
else
	bold='' plain=''
fi
say() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

# An event as Claude Code hands it to a hook, given to the shipped hook.
event() {
	printf '{"session_id":"demo","cwd":"%s",%s}' "$project" "$1" |
		CLAUDE_PROJECT_DIR=$project sh "$here/hook.sh"
}

say '1. An agent serves a new project.'
"$agent" run --project "$project" --log-level warn &
served=$!
tries=0
until "$agent" status --project "$project" >/dev/null; do
	tries=$((tries + 1))
	if [ "$tries" -eq 100 ] || ! kill -0 "$served"; then
		echo 'demo: the agent does not start' >&2
		exit 1
	fi
	sleep 0.1
done
echo "process $served serves $project"

say '2. Four hooks at once, from as many processes, then one at the end of the session.'
hooks=
while read -r e; do
	event "$e" &
	hooks="$hooks $!"
done <<'END'
"hook_event_name":"PostToolUse","tool_name":"Read","tool_input":{"file_path":"parse.go"},"tool_response":{"type":"text"}
"hook_event_name":"PostToolUse","tool_name":"Edit","tool_input":{"file_path":"parse.go","old_string":"i <= n","new_string":"i < n"},"tool_response":{"success":true}
"hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{"command":"go test ./..."},"tool_response":{"stdout":"ok","stderr":"","interrupted":false}
"hook_event_name":"UserPromptSubmit","prompt":"Table tests here, please."
END
# shellcheck disable=SC2086 # one word for each
wait $hooks
event '"hook_event_name":"Stop","stop_hook_active":false'
echo 'all of them are done; none has waited for the agent'

say '3. The shell consumer drains them through the control directory.'
sh "$here/consume.sh" "$project"

say '4. The queue is empty, and the ledger has it all.'
"$agent" status --project "$project"

say '5. The agent stops.'
kill "$served"
wait "$served"
served=
echo 'stopped, with nothing left in flight'
