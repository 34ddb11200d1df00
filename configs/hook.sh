#!/bin/sh
# Spool hook: stores its standard input, a hook event as the AI tool gives it,
# as one drop. "agent hooks install" puts it in place and has the tools run it.
#
# The event comes on standard input or, as from the notify of Codex, as the last
# argument, if that begins with a brace. The first is the tool's name. PROTOCOL.md
# says which project it is for (R33), and what makes that registered (R32).
#
# A hook must not disturb the tool that runs it. So this prints nothing, exits
# with 0 whatever happens, and reads its input to the end even when it cannot
# store it, since some tools take a closed pipe amiss. It is one cat and one mv.

# Should an error end the shell early, then with 0 as well. Standard error is
# closed first, so that not even the lack of a /dev/null is reported.
trap 'exit 0' 0
exec 2>&- >/dev/null 2>&1
[ -z "${ZSH_VERSION-}" ] || emulate sh
# -C: into new files only, and never through a link.
set +eu -C
umask 077
# The system's own cat and mv, also where PATH is empty or full of shims.
PATH=/usr/bin:/bin${PATH:+:$PATH}

discard() {
	[ -n "$event" ] || cat >/dev/null
	exit 0
}

# Links are refused, and other people's directories: a cloned repository may
# bring a .spool/incoming that leads to ~/.ssh.
ours() {
	# shellcheck disable=SC3067 # not in POSIX, but in every sh there is
	[ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]
}
ready() { ours "$spool" && ours "$spool/tmp" && ours "$spool/incoming"; }

# registered reports whether the agent knows of the project in this place, or
# shall not: the mark leads to its registration, or is a plain file without content.
registered() {
	[ -f "$mark" ] || return
	[ -s "$mark" ] || [ -L "$mark" ] || return 0
	IFS= read -r line <"$mark"
	[ -n "$line" ] || return
	# shellcheck disable=SC3013 # as above
	[ "$line" = "${project%%"$newline"*}" ] || [ "$line" -ef "$project" ]
}

# register tells the agent of the project. No failure of it keeps the drop from being stored.
register() {
	case ${HOME-} in /*) ;; *) return ;; esac
	registry=$HOME/.local/state/spool-agent/projects
	[ -d "$registry" ] || mkdir -p -- "$registry"
	if printf '%s\n' "$project" >"$registry/.$name" && mv -f -- "$registry/.$name" "$registry/$name"; then
		rm -f -- "$mark"
		ln -s -- "$registry/$name" "$mark" || printf '%s\n' "$project" >"$mark"
	else
		rm -f -- "$registry/.$name"
	fi
}

newline='
'
event=
for event do :; done
case $event in '{'*) ;; *) event= ;; esac

# The kernel's UUID costs no process. The process id before it, of fixed width,
# keeps drops in order that were stored within one tick of the file system's clock.
random=
read -r random </proc/sys/kernel/random/uuid
# shellcheck disable=SC2046 # split it: od puts blanks around its words
[ ${#random} -eq 36 ] || random=$(printf %s- $(date +%s) $(od -A n -N 12 -t x4 /dev/urandom))end
[ ${#random} -ge 36 ] || discard
pid=000000$$
name=${pid#"${pid%???????}"}-$random
case ${1-} in '' | *[!a-z0-9-]*) ;; *) name=$name.$1 ;; esac

start=${CLAUDE_PROJECT_DIR:-${CURSOR_PROJECT_DIR-}}
[ -z "${GEMINI_PROJECT_DIR-}" ] || start= # what Gemini CLI sets is but the working directory
case $start in /* | '') ;; *) start=./$start ;; esac
# shellcheck disable=SC3013 # fails also where the working directory is gone
cd -P -- "${start:-.}" && [ . -ef "$PWD" ] || discard
start=${PWD%/} up=${PWD%/}
while :; do
	# shellcheck disable=SC3013 # of / and the home directory only what begins there
	if [ "$up" = "$start" ] || { [ -n "$up" ] && [ ! "$up" -ef "${HOME-}" ]; }; then
		if ours "$up/.spool" || [ -e "$up/.git" ] || [ -L "$up/.git" ]; then break; fi
	fi
	[ -n "$up" ] || { up=$start; break; }
	up=${up%/*}
done
project=${up:-/} spool=$up/.spool mark=$up/.spool/.registered
[ ! -e "$spool/off" ] && [ ! -L "$spool/off" ] || discard
# shellcheck disable=SC3013 # the original's configuration is there
if [ "$project" -ef "${HOME-}" ] && { [ -e "$spool/config.toml" ] || [ -e "$spool/rules.toml" ]; }; then discard; fi

if ! ready || ! registered; then
	[ -d "$spool" ] || mkdir -m 700 -- "$spool"
	ours "$spool" || discard
	[ -e "$spool/.gitignore" ] || echo '*' >"$spool/.gitignore"
	[ -w "$spool" ] && ! registered && register
	ready || mkdir -m 700 -- "$spool/tmp" "$spool/incoming"
	ready || discard
fi

# An input that could not be stored whole, or is empty, must not become a drop.
tmp=$spool/tmp/$name.json
if [ -n "$event" ]; then printf '%s\n' "$event"; else cat; fi >"$tmp" && [ -s "$tmp" ] && mv -f -- "$tmp" "$spool/incoming/$name.json" && exit 0
rm -f -- "$tmp"
discard
