#!/bin/sh
# Spool consumer: drains a project through the agent that serves it, with
# nothing but sh, and prints the signals as JSON Lines, oldest first.
#
#	sh consume.sh [-t SECONDS] [DIR]
#
# The project is DIR, else $CLAUDE_PROJECT_DIR, else the nearest directory
# upwards from the working directory that has a .spool, else the working
# directory. The timeout is -t, else $SPOOL_TIMEOUT, else 5 seconds.
#
# Exit status: 0 done, 1 failed, 2 usage, 4 timed out. The signals count as
# taken only with 0; in every other case they stay in the queue, or return to
# it once the agent's reply_ttl is over.

umask 077
set -C
PATH=/usr/bin:/bin${PATH:+:$PATH}

say() {
	printf 'consume.sh: %s\n' "$1" >&2
}

fail() {
	say "$1"
	exit 1
}

usage() {
	say 'usage: consume.sh [-t SECONDS] [DIR]'
	exit 2
}

# As in hook.sh: no links, no other people's directories.
ours() {
	# shellcheck disable=SC3067 # not in POSIX, but in every sh there is
	[ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ]
}

timeout=${SPOOL_TIMEOUT-5}
OPTIND=1
while getopts :t: option; do
	case $option in
	t) timeout=$OPTARG ;;
	*) usage ;;
	esac
done
shift $((OPTIND - 1))
[ $# -le 1 ] || usage
case $timeout in
0 | [1-9] | [1-9][0-9] | [1-9][0-9][0-9] | [1-9][0-9][0-9][0-9]) ;;
*) usage ;;
esac

project=${1-${CLAUDE_PROJECT_DIR-}}
if [ -z "$project" ]; then
	[ -n "$PWD" ] || fail 'the working directory is gone'
	up=$PWD
	until [ -d "$up/.spool" ] && [ ! -L "$up/.spool" ]; do
		[ -n "$up" ] || { up=$PWD; break; }
		up=${up%/*}
	done
	project=$up
fi
spool=$project/.spool
control=$spool/control

ours "$spool" || fail "no spool of yours at $spool"
for dir in "$spool/tmp" "$control"; do
	[ -d "$dir" ] || mkdir -- "$dir" 2>/dev/null
	ours "$dir" || fail "not a directory of yours: $dir"
done

read -r random 2>/dev/null </proc/sys/kernel/random/uuid
case $random in
????????-????-????-????-????????????) ;;
*)
	# shellcheck disable=SC2046 # split it: od puts blanks around its words
	set -- $(date +%s) $(od -A n -N 12 -t x4 /dev/urandom)
	[ $# -eq 4 ] || fail 'no source of random numbers'
	random=$1-$2$3$4
	;;
esac
id=$$-$random
request=$control/$id.drain
signals=$control/$id.signals
error=$control/$id.error

# take ends the script if there is an answer. Deleting it is what tells the
# agent that it arrived; until then the agent keeps the signals.
take() {
	if [ -f "$signals" ] && [ ! -L "$signals" ]; then
		cat -- "$signals" || fail 'the signals could not all be written; they return to the queue'
		rm -f -- "$signals" || fail 'the reply could not be deleted; its signals return to the queue'
		exit 0
	fi
	if [ -f "$error" ] && [ ! -L "$error" ]; then
		cat -- "$error" >&2
		rm -f -- "$error"
		exit 1
	fi
}

# pause waits a little, and a second where sleep takes no fractions.
pause() {
	nap=0.05 ms=50
	[ "$waited" -ge 100 ] || nap=0.01 ms=10
	if ! sleep "$nap" 2>/dev/null; then
		ms=1000
		sleep 1 || return
	fi
	waited=$((waited + ms))
}

trap 'rm -f -- "$request"; exit 1' HUP INT TERM
if ! { true >"$spool/tmp/$id" && mv -f -- "$spool/tmp/$id" "$request"; }; then
	fail 'the request could not be written'
fi

waited=0
until [ "$waited" -ge $((timeout * 1000)) ]; do
	take
	pause || break
done
rm -f -- "$request"
take
say "no answer within $timeout s: is an agent serving $project?"
exit 4
