#!/bin/sh
# >>> spool agent >>> 'agent hooks uninstall git' removes these lines
if [ "${SPOOL_AGENT_HOOK-}" != "$PWD/$0" ] && [ -x "$0" ] && [ "${0##*/}" != "$0" ] &&
	[ ! -t 0 ] && [ -r "${HOME-}/.local/share/spool-agent/git.sh" ]; then
	spool_status=0 spool_input='' spool_name=${0##*/}
	spool_name=${spool_name%.legacy}
	case $spool_name in
	pre-push | post-rewrite)
		spool_input=$(cat && echo .)
		printf %s "${spool_input%.}" 2>/dev/null |
			SPOOL_AGENT_HOOK=$PWD/$0 "$0" "$@" || spool_status=$?
		;;
	*)
		SPOOL_AGENT_HOOK=$PWD/$0 "$0" "$@" || spool_status=$?
		;;
	esac
	case $spool_name:$spool_status in
	pre-push:0 | post-*)
		printf %s "${spool_input%.}" 2>/dev/null |
			sh "$HOME/.local/share/spool-agent/git.sh" "$spool_name" "$@" >/dev/null 2>&1 || :
		;;
	esac
	exit "$spool_status"
fi
unset SPOOL_AGENT_HOOK
# <<< spool agent <<<
case ${0##*/} in pre-push*) ! command -v git-lfs >/dev/null 2>&1 || git lfs pre-push "$@" ;; esac # as Git LFS would
