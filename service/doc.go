// Package service makes the agent a service of its user, and tells the system
// how the agent does. It needs no administrator: what it installs belongs to
// the user, starts when the user logs in, and sees the user's files.
//
//	Linux     a unit of systemd --user   ~/.config/systemd/user/spool-agent.service
//	macOS     a LaunchAgent of launchd   ~/Library/LaunchAgents/spool-agent.plist
//	Windows   a logon task               %LOCALAPPDATA%\spool-agent\task.xml (our copy)
//
// On Linux the log is 'journalctl --user -u spool-agent', settings of the user's
// own are made with 'systemctl --user edit spool-agent', and 'systemctl --user
// reload spool-agent' has the agent read its configuration again. On macOS the log
// is ~/Library/Logs/spool-agent/agent.log, which nothing rotates; on Windows there
// is none. There, 'agent restart' reads the configuration again.
//
// # What always holds
//
// All verbs may be repeated. Each asks the manager how things are, does what is
// missing, and says what it did. Nothing is written before the manager has
// answered, and every call has a deadline.
//
// An installer that is killed, or finds the disk full, may leave half a
// definition where there was none; one that was there stays whole. The next
// install finds what is missing and mends it. It does not trust that an earlier
// one went on to the end: it restarts an agent that was started before its
// definition was written, or that is not the program at that path any more.
// Definition and program are not synced, so after a power cut they may have to be
// installed again; doctor says so. A systemd that was started with an
// XDG_CONFIG_HOME of its own reads no unit in ~/.config: Install says so, and
// writes no definition.
//
// What the service starts is this program where it is in a directory of the
// system, else a copy that Install makes, replaces by a rename, and Uninstall
// removes: package place has the rule.
//
// # How it is built
//
// Service has the verbs; a manager, one for each system, has the steps. The
// definitions are made by functions without build tags, so that all of them are
// tested everywhere.
//
// kardianos/service installs and removes the definition on Linux and macOS, and
// starts and stops the unit on Linux. Ours are the checks before and after, and
// the repair: what its Install has left is compared with what is wanted, and
// another definition is replaced by a rename. These parts stay ours:
//
//   - Windows: it knows services only, which need an administrator.
//   - Restart: on macOS its own waits 50 ms for the agent to end, however long
//     that takes, so here it is a stop, a wait and a start.
//   - Start and stop on macOS: its launchctl load and unload act on the session
//     of the caller, which by ssh is not the graphical one.
//   - Run: its own waits for a signal, also when the agent has ended by itself.
//   - State: its own takes an unreachable manager for "not installed".
//   - Escaping: its templates escape only blanks in a unit, so it gets whole
//     definitions.
package service
