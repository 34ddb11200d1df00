#!/bin/sh
# Spool hook: stores its standard input, a hook event as the AI tool gives it,
# as one drop. Put it at ~/.local/share/spool-agent/hook.sh and have the tool
# run  sh "$HOME/.local/share/spool-agent/hook.sh"  ("agent hooks install" does both).
#
# The event comes on standard input or, as from the notify of Codex, as the last
# argument, if that begins with a brace. Other arguments are ignored.
#
# The project is $CLAUDE_PROJECT_DIR or $CURSOR_PROJECT_DIR if one is set (Claude
# Code may run hooks in a subdirectory, Cursor in ~/.cursor), else the nearest
# directory upwards from the working directory that has a .spool, else the
# working directory. What Gemini CLI sets, also by the name of Claude's, is but
# the working directory. The project's .spool is made on first use, and the
# project registered with the user's agent.
#
# A hook must not disturb the tool that runs it. So this prints nothing, exits
# with 0 whatever happens, and reads its input to the end even when it cannot
# store it, since some tools take a closed pipe amiss. It is one dd and one mv.

# Should an error end the shell early, then with 0 as well. Standard error is
# closed first, so that not even the lack of a /dev/null is reported.
trap 'exit 0' 0
exec 2>&- >/dev/null 2>&1
# -C: into new files only, and never through a link.
set +eu -C
umask 077
# The system's own dd and mv, also where PATH is empty or full of shims.
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

ready() {
	ours "$spool" && ours "$spool/tmp" && ours "$spool/incoming"
}

# registered reports whether the agent has been told of the project in this
# place: the link tells also where the spool was then, for it may have been moved
# or copied since. Where there are no links, a file has to do.
registered() {
	# shellcheck disable=SC3013 # as above
	[ "$mark" -ef "$spool/tmp" ] || { [ -f "$mark" ] && [ ! -L "$mark" ]; }
}

# register tells the agent of the project, by a file of any name with its path.
# No failure of it keeps the drop from being stored.
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
	[ -d "$projects" ] || mkdir -p -- "$projects"
	[ -w "$projects" ] || return
	# In a subshell: the working directory stays. As the path has no links, the
	# project is known by one name however the tool came there.
	(
		if cd -P -- "$path" && printf '%s\n' "$PWD" >"$entry" && mv -f -- "$entry" "$projects/$name"; then
			rm -f -- .spool/.registered
			ln -s -- "$PWD/.spool/tmp" .spool/.registered || echo >.spool/.registered
		else
			rm -f -- "$entry"
		fi
	)
}

event=
for event do :; done
case $event in
'{'*) ;;
*) event= ;;
esac

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

project=${CLAUDE_PROJECT_DIR:-${CURSOR_PROJECT_DIR-}}
[ -z "${GEMINI_PROJECT_DIR-}" ] || project=
case $project in
/*) ;;
?*) project=./$project ;;
*)
	[ -n "$PWD" ] || discard # the working directory is gone
	up=$PWD
	until [ -d "$up/.spool" ] && [ ! -L "$up/.spool" ]; do
		[ -n "$up" ] || { up=$PWD; break; }
		up=${up%/*}
	done
	project=$up
	;;
esac
spool=$project/.spool

mark=$spool/.registered
if ! ready || ! registered; then
	[ -d "$spool" ] || mkdir -- "$spool"
	ours "$spool" || discard
	ignore=$spool/.gitignore
	[ -e "$ignore" ] || echo '*' >"$ignore"
	# Once, whoever made the spool; not again if the project was removed since.
	if [ -w "$spool" ] && ! registered; then
		register
	fi
	ready || mkdir -- "$spool/tmp" "$spool/incoming"
	ready || discard
fi

tmp=$spool/tmp/$name.json
drop=$spool/incoming/$name.json

if [ -n "$event" ]; then
	if ! printf '%s\n' "$event" >"$tmp" || ! mv -f -- "$tmp" "$drop"; then
		rm -f -- "$tmp"
	fi
	exit 0
fi

# An input that could not be stored whole, or is empty, must not become a drop.
# dd says of an error before it says how many whole blocks of 64 KiB it wrote,
# and copies like cat what it reads in pieces.
# shellcheck disable=SC2094 # mv moves the file when it is complete
LC_ALL=C dd ibs=65536 obs=65536 2>&1 >"$tmp" | (
	read -r in
	read -r out
	case $in,$out in
	0+0' records in,'*) exit 8 ;;
	[0-9]*' records in,'[0-9]+*' records out' | [0-9]*' records in,1'[0-5]+*' records out')
		exec mv -f -- "$tmp" "$drop"
		;;
	[0-9]*' records in,'[0-9]*' records out') exit 9 ;;
	esac
	exit 8
)
case $? in
0) exit 0 ;;
9) ;;
*)
	rm -f -- "$tmp"
	discard
	;;
esac

# 1 MiB or more, where the agent rejects what has more than that. If it is JSON,
# its long strings lose their middle, so that it is a drop all the same; else it
# is rejected where it can be seen.
short=$tmp.short
if LC_ALL=C awk '
BEGIN {
	RS = "\"" # so the records are in turn out of strings and in them, until an escaped one
	ORS = ""
	limit = 1000000
	# What is kept at each end of a string: as much as is possible with one of these.
	ends[1] = 16384; ends[2] = 2048; ends[3] = 128
	wanted = " hook_event_name type session_id thread-id turn-id conversation_id transcript_path tool_name cwd timestamp "
	inside = depth = first = last = 0
}

# At first it only adds up what each of the ends would come to, and notes the
# members that say what the event belongs to.
pass != 2 {
	n = length($0)
	if (!inside) {
		name = depth == 1 && length(text) < 20 && index(wanted, " " text " ") && $0 ~ /^[ \t\r\n]*:[ \t\r\n]*$/ ? text : ""
		if ($0 ~ /[][{}]/) {
			rest = $0
			depth += gsub(/[[{]/, "", rest)
			depth -= gsub(/[]}]/, "", rest)
		}
		total += n + 2
		size = 0
		text = ""
		inside = 1
		next
	}
	size += n
	if (size < 4096) text = text $0
	if (escaped($0)) {
		size++
		if (size < 4096) text = text RS
		next
	}
	inside = 0
	whole += size
	for (k = 1; k <= 3; k++) need[k] += size > 2 * ends[k] ? 2 * ends[k] + 40 : size
	if (name != "" && size < 4096) identity = identity RS name "\":\"" text "\","
	next
}

# Then it writes.
FNR == 1 {
	if (!inside || total + whole <= limit) exit failed = 1
	for (k = 1; k <= 3 && total + need[k] > limit; k++) {}
	flat = k > 3 # strings are not what makes it long: its text becomes one
	if (flat && identity == "") exit failed = 1
	end = flat ? ends[1] : ends[k]
	inside = 0
}
flat {
	take($0 (FNR == 1 ? "\"" : " "))
	RS = "\n"
	next
}
!inside {
	print $0
	inside = 1
	next
}
escaped($0) {
	take($0 RS)
	next
}
{
	take($0)
	inside = 0
	print RS taken() RS
}
END {
	if (failed) exit 1
	if (flat) print "{" identity "\"shortened\":\"" taken() "\"}\n"
}

# escaped reports whether a quote after s would be part of the string.
function escaped(s,    n) {
	n = length(s)
	if (n == 0 || substr(s, n, 1) != "\\") return 0
	if (n == 1 || substr(s, n - 1, 1) != "\\") return 1
	match(s, /\\+$/)
	return RLENGTH % 2
}

# take adds a piece to the text of which taken returns both ends. head is full
# before tail gets anything; of tail the oldest pieces go. It gets them by the
# kilobyte, as there may be millions.
function take(s,    n) {
	n = length(s)
	seen += n
	if (headSize < end) {
		head = head substr(s, 1, end - headSize)
		s = substr(s, end - headSize + 1)
		headSize += n - length(s)
		n = length(s)
	}
	if (n + pendingSize < 1024) {
		pending = pending s
		pendingSize += n
		return
	}
	s = pending s
	n += pendingSize
	pending = ""
	pendingSize = 0
	if (n > end) {
		s = substr(s, n - end + 1)
		n = end
		cut = 1
	}
	tail[last++] = s
	tailSize += n
	while (tailSize - length(tail[first]) >= end) {
		if (tail[first] != "") cut = 1
		tailSize -= length(tail[first])
		delete tail[first++]
	}
}

function taken(    s) {
	s = ""
	while (first < last) {
		s = s tail[first]
		delete tail[first++]
	}
	s = s pending
	if (cut) {
		head = flat ? headUTF8(head) : headJSON(headUTF8(head))
		s = flat ? tailUTF8(s, 1) : tailJSON(s)
		seen -= length(head) + length(s)
		if (flat) {
			head = quote(head)
			s = quote(s)
		}
		s = "…[" seen " bytes cut]…" s
	}
	s = head s
	head = pending = ""
	pendingSize = seen = headSize = tailSize = cut = first = last = 0
	return s
}

# headUTF8 leaves out the last character if it has several bytes, or is half.
function headUTF8(s,    i, c) {
	for (i = 0; i < 4 && s != "" && (c = substr(s, length(s), 1)) > "~"; i++) {
		s = substr(s, 1, length(s) - 1)
		if (c >= "\300") break
	}
	return s
}

# headJSON leaves out a last escape that is half, and half a surrogate pair.
function headJSON(s,    i, n) {
	for (i = 0; i < 2; i++) {
		if (!match(s, /\\+(u[0-9A-Fa-f]?[0-9A-Fa-f]?[0-9A-Fa-f]?[0-9A-Fa-f]?)?$/)) break
		for (n = RSTART; substr(s, n, 1) == "\\"; n++) {}
		if ((n - RSTART) % 2 == 0 || i && substr(s, n) !~ /^u[dD][89abAB]/) break
		s = substr(s, 1, n - 2)
	}
	return s
}

# tailUTF8 begins with the first character from i on that is whole.
function tailUTF8(s, i,    n, c) {
	for (n = 0; n < 4 && (c = substr(s, i, 1)) >= "\200" && c < "\300"; n++) i++
	return substr(s, i)
}

# tailJSON leaves out what may be the end of an escape, or of a surrogate pair.
# An escape has up to 6 bytes, with a backslash only at its beginning or, after
# another one, at its end: so one ends before each backslash that follows
# something else, and is over after 5 bytes without any.
function tailJSON(s,    i, p) {
	for (i = 1; substr(s, i, 1) == "\\"; i++) {}
	p = index(substr(s, i, 7), "\\")
	if (p == 0) return tailUTF8(s, i + 5)
	i += p - 1
	if (substr(s, i, 6) ~ /^\\u[dD][c-fC-F]/) i += 6
	return substr(s, i)
}

# quote makes the text of a JSON string of JSON. Beyond its strings that can
# have line feeds and tabs.
function quote(s,    i, c, q) {
	for (i = 1; i <= length(s); i++) {
		c = substr(s, i, 1)
		q = q (c < " " ? " " : c == "\"" || c == "\\" ? "\\" c : c)
	}
	return q
}
' "$tmp" pass=2 "$tmp" >"$short" && mv -f -- "$short" "$drop"; then
	rm -f -- "$tmp"
	exit 0
fi
rm -f -- "$short"
mv -f -- "$tmp" "$drop" && exit 0
rm -f -- "$tmp"
discard
