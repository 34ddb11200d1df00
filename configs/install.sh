#!/bin/sh
# install.sh install FROM DIR puts spool-agent and spool-hook of the directory FROM
# into DIR, and the short name "agent" beside them where that is free; install.sh
# uninstall FROM DIR removes them again. "make install" and "make uninstall" run it.
#
# A file takes its place by a rename, so that a program that runs goes on with what
# it was. Nothing of others is written, replaced or removed, and no link followed:
# the command "agent" of another tool may be a link to its program.

set -eu
verb=$1 from=$2 dir=$3

say() { printf '%s\n' "$*"; }

# there FILE reports whether there is something with that name.
there() { [ -e "$1" ] || [ -L "$1" ]; }

# ours FILE reports whether it is one of our programs: the Go command notes in each
# where it was built from.
ours() { [ -f "$1" ] && [ ! -L "$1" ] && LC_ALL=C grep -q 'spoolagent/cmd/' "$1"; }

# short FILE reports whether it is the short name that we make.
short() { [ -L "$1" ] && [ "$(readlink "$1")" = spool-agent ]; }

new=
trap '[ -z "$new" ] || rm -f "$new"' EXIT

case $verb in
install)
	mkdir -p "$dir"
	for name in spool-agent spool-hook; do
		if there "$dir/$name" && ! ours "$dir/$name"; then
			say "$dir/$name is not of this project: nothing was installed; move it, or choose another PREFIX" >&2
			exit 1
		fi
	done
	for name in spool-agent spool-hook; do
		new=$(mktemp "$dir/.$name.XXXXXX")
		cp "$from/$name" "$new"
		chmod 755 "$new"
		mv -f "$new" "$dir/$name"
		say "installed $dir/$name"
	done
	new=
	if ours "$dir/agent"; then # of an earlier version, which had only this name
		rm -f "$dir/agent"
	fi
	if short "$dir/agent"; then
		say "$dir/agent is short for it, as before"
	elif there "$dir/agent"; then
		say "did not install the short name: $dir/agent is another program's; the command is spool-agent"
	elif other=$(command -v agent) && [ -z "${DESTDIR-}" ] && ! ours "$other" && ! short "$other"; then
		say "did not install the short name: $other is another program's; the command is spool-agent"
	else
		ln -s spool-agent "$dir/agent"
		say "installed $dir/agent, the short name"
	fi
	case ":$PATH:${DESTDIR:+$dir:}" in
	*":$dir:"*) ;;
	*) say "your PATH lacks $dir; for this shell: export PATH=\"$dir:\$PATH\"" ;;
	esac
	;;
uninstall)
	for name in spool-agent spool-hook agent; do
		if ours "$dir/$name" || { [ "$name" = agent ] && short "$dir/agent"; }; then
			rm -f "$dir/$name"
			say "removed $dir/$name"
		elif there "$dir/$name"; then
			say "left $dir/$name, which is not of this project"
		fi
	done
	;;
*)
	say "usage: $0 install|uninstall FROM DIR" >&2
	exit 2
	;;
esac
