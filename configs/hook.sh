#!/bin/sh
# Spool hook: stores its standard input, a hook event as the AI tool gives it,
# as one drop. Put it at ~/.local/share/spool-agent/hook.sh and have the tool
# run  sh "$HOME/.local/share/spool-agent/hook.sh"  ("agent hooks install" does both).
#
# The project is $CLAUDE_PROJECT_DIR if that is set (Claude Code sets it, and
# may run hooks in a subdirectory), else the nearest directory upwards from the
# working directory that has a .spool, else the working directory. Its .spool
# is made on first use, and the project registered with the user's agent.
#
# A hook must not disturb the tool that runs it. So this prints nothing, exits
# with 0 whatever happens, and reads its input to the end even when it cannot
# store it, since some tools take a closed pipe amiss. It is one cat and one mv.

# Should an error end the shell early, then with 0 as well. Standard error is
# closed first, so that not even the lack of a /dev/null is reported.
trap 'exit 0' 0
exec 2>&- >/dev/null 2>&1
# -C: into new files only, and never through a link.
set +eu -C
umask 077
# The system's own cat and mv, also where PATH is empty or full of shims.
PATH=/usr/bin:/bin${PATH:+:$PATH}

discard() {
	cat >/dev/null
	exit 0
}

# Links are refused, and other people's directories: a cloned repository may
# bring a .spool/incoming that leads to ~/.ssh.
ours() {
	# shellcheck disable=SC3067 # not in POSIX, but in every sh there is
	[ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]
}

ready() {
	ours "$spool" && ours "$spool/tmp" && ours "$spool/incoming"
}

# register tells the agent of a project that has had no spool so far, by a file
# of any name with the project's path. No failure of it keeps the drop from
# being stored.
register() {
	case ${XDG_STATE_HOME-} in
	/*) projects=$XDG_STATE_HOME/spool-agent/projects ;;
	*)
		case ${HOME-} in
		/*) projects=$HOME/.local/state/spool-agent/projects ;;
		*) return ;;
		esac
		;;
	esac
	case $project in
	/*) path=$project ;;
	*) path=$PWD/$project ;;
	esac
	entry=$projects/.$name
	mkdir -p -- "$projects"
	# In a subshell: the working directory stays. As the path has no links, the
	# project is known by one name however the tool came there.
	if ! (cd -P -- "$path" && printf '%s\n' "$PWD" >"$entry") ||
		! mv -f -- "$entry" "$projects/$name"; then
		rm -f -- "$entry"
	fi
}

# The kernel's UUID costs no process. The process id before it, of fixed width,
# keeps drops in order that were stored within one tick of the file system's clock.
read -r random </proc/sys/kernel/random/uuid
case $random in
????????-????-????-????-????????????) ;;
*)
	# shellcheck disable=SC2046 # split it: od puts blanks around its words
	set -- $(date +%s) $(od -A n -N 12 -t x4 /dev/urandom)
	[ $# -eq 4 ] || discard
	random=$1-$2$3$4
	;;
esac
pid=000000$$
name=${pid#"${pid%???????}"}-$random

project=${CLAUDE_PROJECT_DIR-}
if [ -z "$project" ]; then
	[ -n "$PWD" ] || discard # the working directory is gone
	up=$PWD
	until [ -d "$up/.spool" ] && [ ! -L "$up/.spool" ]; do
		[ -n "$up" ] || { up=$PWD; break; }
		up=${up%/*}
	done
	project=$up
fi
spool=$project/.spool

if ! ready; then
	# The directories come last: where they are, the rest was done.
	[ -d "$spool" ] || mkdir -- "$spool"
	ours "$spool" || discard
	ignore=$spool/.gitignore
	[ -e "$ignore" ] || echo '*' >"$ignore"
	register
	mkdir -- "$spool/tmp" "$spool/incoming"
	ready || discard
fi

# An input that could not be stored whole, or is empty, must not become a drop.
tmp=$spool/tmp/$name.json
if cat >"$tmp" && [ -s "$tmp" ] && mv -f -- "$tmp" "$spool/incoming/$name.json"; then
	exit 0
fi
rm -f -- "$tmp"
discard
