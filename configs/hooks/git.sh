#!/bin/sh
# Spool producer for git: leaves one signal for each commit, checkout, merge,
# rewrite and push. Put it beside hook.sh, and have git's hooks run
#
#     sh "$HOME/.local/share/spool-agent/git.sh" NAME "$@"
#
# where NAME is the hook: post-commit, post-checkout, post-merge, post-rewrite
# or pre-push. The last two must be left their standard input.
#
# The signal's tool_name is "git" and its cwd the top of the work tree. Its
# payload is a JSON object in at most 4,000 bytes: hook_event_name is NAME, and
#
#     post-commit    commit, branch, author, subject, body, files
#     post-checkout  previous, commit, branch, kind ("branch" or "files")
#     post-merge     commit, branch, author, subject, body, squash ("0" or "1"), files
#     post-rewrite   command ("amend", "rebase"), branch, rewritten
#     pre-push       remote, url (without a password), branch, refs
#
# Members that are empty are left out; branch is, where HEAD is detached, and refs,
# where Git LFS has read them before. Each of
# files has status (A, M, D, T) and path, each of rewritten from and to, each of
# refs local, commit, remote and previous. Those that do not fit are left out,
# and counted: files_omitted is how many at least. Long texts end in a marker
# that says how many bytes went. What is not UTF-8 becomes U+FFFD.
#
# The project is the top of the work tree. Without a work tree nothing is left.
# Whatever happens, it prints nothing and exits with 0: git never notices.

trap 'exit 0' 0
exec 2>&- >/dev/null 2>&1
set +eu -f
unset IFS
# git puts the directory of its own commands first.
PATH=${PATH:+$PATH:}/usr/bin:/bin
# Only what is here: no lock, no network, no other project.
GIT_OPTIONAL_LOCKS=0 GIT_NO_LAZY_FETCH=1
export PATH GIT_OPTIONAL_LOCKS GIT_NO_LAZY_FETCH
unset CLAUDE_PROJECT_DIR CURSOR_PROJECT_DIR GEMINI_PROJECT_DIR

case $0 in
/*) here=${0%/*} ;;
*/*) here=./${0%/*} ;;
*) here=. ;;
esac
event=${1-}
[ $# -eq 0 ] || shift

discard() {
	case $event in
	post-rewrite | pre-push) cat >/dev/null ;;
	esac
	exit 0
}
[ "$(git rev-parse --is-inside-work-tree </dev/null)" = true ] || discard

# The text goes through od as numbers, so that no awk can stumble over its bytes.
# It comes in sections, each a list of words that end in a NUL: a name, the keys,
# an empty word, and then the values of the keys, over and over. The section
# without a name has the members of the payload itself, name and value in turn.
# 256 ends a section, which may have been cut off in the middle of a word.
words() { printf '%s\000' "$@"; }
section() {
	od -A n -v -t u1 -N 262144
	echo 256
}

members() { { words '' '' "$@" && branch; } | section; }
branch() {
	words branch
	git symbolic-ref -q --short HEAD </dev/null
}

# The format has the member's names between the values.
commit() {
	git -c log.showSignature=false log -1 --no-patch --no-color --encoding=UTF-8 \
		--format='%x00%x00commit%x00%H%x00author%x00%an <%ae>%x00subject%x00%s%x00body%x00%b' \
		HEAD </dev/null | section
}
files() {
	{ words files status path '' && git diff-tree -r -z --root --no-commit-id --no-renames \
		--name-status "$@" </dev/null; } | section
}

# withoutPassword prints a URL less the user and password in it.
withoutPassword() {
	url=$1
	case $url in
	*://*)
		rest=${url#*://}
		host=${rest%%/*}
		url=${url%%://*}://${host##*@}${rest#"$host"}
		;;
	esac
	printf '%s' "$url"
}

# table makes words of standard input: the first hundred lines, and how many more
# there are.
table() {
	lines=0
	while [ "$lines" -lt 100 ] && read -r line; do
		lines=$((lines + 1))
		case $event in
		post-rewrite)
			rest=${line#* }
			words "${line%% *}" "${rest%% *}"
			;;
		pre-push) # what is pushed, an expression, may have blanks
			previous=${line##* } line=${line% *}
			remote=${line##* } line=${line% *}
			words "${line% *}" "${line##* }" "$remote" "$previous"
			;;
		esac
	done
	words '' "$(sed -n '$=')"
	[ "$event" != pre-push ] || words '' ''
}

sections() {
	words "$PWD" | section
	case $event in
	post-commit)
		members hook_event_name "$event"
		commit
		files HEAD
		;;
	post-checkout)
		case ${3-} in
		1) kind=branch ;;
		*) kind=files ;;
		esac
		members hook_event_name "$event" previous "${1-}" commit "${2-}" kind "$kind"
		;;
	post-merge)
		members hook_event_name "$event" squash "${1-}"
		commit
		files ORIG_HEAD HEAD
		;;
	post-rewrite)
		members hook_event_name "$event" command "${1-}"
		{ words rewritten from to '' && table; } | section
		;;
	pre-push)
		members hook_event_name "$event" remote "$(withoutPassword "${1-}")" url "$(withoutPassword "${2-}")"
		{ words refs local commit remote previous '' && table; } | section
		;;
	esac
}

# signal makes a drop of the sections. It is JSON in ASCII, whatever the names and
# messages are made of.
signal() {
	LC_ALL=C awk '
	BEGIN {
		whole = 3900 # the most bytes that the payload gets, but for a count or two
		begin(4096)
	}
	{ for (i = 1; i <= NF; i++) number($i + 0) }
	END {
		if (members != "")
			print "{\"tool_name\":\"git\",\"cwd\":\"" cwd "\",\"payload\":\"{" members "}\"}"
	}

	function number(b) {
		if (b == 256) {
			if (started) word()
			finish()
		} else if (b == 0)
			word()
		else {
			started = 1
			decode(b)
		}
	}

	# decode takes one byte of UTF-8: need more of them must follow, the next from
	# low to high.
	function decode(b) {
		if (need > 0 && (b < low || b > high)) {
			need = 0
			put(65533, 3)
		}
		if (need > 0) {
			code = code * 64 + b - 128
			low = 128; high = 191
			if (--need == 0) put(code, code < 2048 ? 2 : code < 65536 ? 3 : 4)
			return
		}
		low = 128; high = 191
		if (b < 128) put(b, 1)
		else if (b < 194 || b > 244) put(65533, 3)
		else if (b < 224) { need = 1; code = b - 192 }
		else if (b < 240) {
			need = 2; code = b - 224
			if (b == 224) low = 160
			if (b == 237) high = 159
		} else {
			need = 3; code = b - 240
			if (b == 240) low = 144
			if (b == 244) high = 143
		}
	}

	# put adds a character, of n bytes, to the word. Line feeds wait for what
	# follows: the last ones are not part of it.
	function put(c, n) {
		if (c == 10) { feeds++; return }
		for (; feeds > 0; feeds--) add("\\\\n", 2, 1)
		if (c == 34) add(sections ? "\\\\\\\"" : "\\\"", 2, 1)
		else if (c == 92) add(sections ? "\\\\\\\\" : "\\\\", 2, 1)
		else if (c < 32) add(sprintf(sections ? "\\\\u%04x" : "\\u%04x", c), 6, 1)
		else if (c < 127) add(sprintf("%c", c), 1, 1)
		else if (c < 65536) add(sprintf("\\u%04x", c), n, n)
		else add(sprintf("\\u%04x\\u%04x", 55296 + int((c - 65536) / 1024), 56320 + c % 1024), n, n)
	}

	# add adds a piece as it stands in the drop, where the payload is JSON within
	# JSON. In the payload it has size bytes, and it stands for n. Of a word that
	# gets more than most bytes, head is what is kept beside the marker.
	function add(piece, size, n) {
		if (used + size <= most - 30) {
			head = head piece
			kept += n
		} else if (used + size <= most)
			rest = rest piece
		used += size
		text += n
	}

	function begin(limit) {
		head = rest = ""
		used = kept = text = need = feeds = started = 0
		most = limit
	}

	function word(    i, value, size) {
		if (need > 0) { need = 0; put(65533, 3) }
		if (sections && name != "") for (; feeds > 0; feeds--) add("\\\\n", 2, 1)
		value = head rest
		size = used
		if (used > most) {
			value = head "\\u2026[" (text - kept) " bytes cut]\\u2026"
			size = most
		}
		begin(512)
		if (!sections) cwd = value
		else if (!headed) {
			if (!named) { name = value; named = 1 }
			else if (value == "") headed = 1
			else key[++keys] = value
		} else if (name == "" && last == "") {
			last = value
			if (value == "body") most = 1024
		} else if (name == "") {
			member("\\\"" last "\\\":\\\"" value "\\\"", value == "" ? -1 : size + length(last) + 6)
			last = ""
		} else {
			if (++got == 1) { row = ""; rowSize = 2; more = value == "" }
			else if (more && got == 2) omitted += value
			row = row (got > 1 ? "," : "") "\\\"" key[got] "\\\":\\\"" value "\\\""
			rowSize += size + length(key[got]) + 6
			if (got == keys) {
				got = 0
				if (!more) addRow()
			}
		}
	}

	function member(m, size) {
		if (size < 0) return
		members = members (members == "" ? "" : ",") m
		total += size
	}

	function addRow() {
		if (omitted || total + rowsSize + rowSize + 1 > whole) { omitted++; return }
		rows = rows (rows == "" ? "" : ",") "{" row "}"
		rowsSize += rowSize + 1
	}

	function finish() {
		if (rows != "") member("\\\"" name "\\\":[" rows "]", rowsSize + length(name) + 6)
		if (omitted) member("\\\"" name "_omitted\\\":" omitted, length(name) + 20)
		rows = name = last = ""
		rowsSize = omitted = named = headed = keys = got = 0
		sections++
		begin(512)
	}
	'
}

sections "$@" | signal | sh "$here/hook.sh" git
