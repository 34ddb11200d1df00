// Package service makes the agent a service of its user, and tells the service
// manager how the agent is doing. It needs no administrator: what it installs
// belongs to the user, starts when the user logs in, and sees the user's files.
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
// All verbs may be repeated. Each asks the manager for the state, does what is
// missing, and says what it did. Nothing is written before the manager has
// answered, and every call has a deadline.
//
// An install that is killed, or finds the disk full, may leave half a definition
// where there was none; one that was there stays whole. The next install does not
// assume that an earlier one was completed: it does what is missing, and restarts
// an agent that was started before its definition was written, or that is not the
// program at that path any more. Definition and program are not synced, so after
// a power cut they may have to be installed again; doctor says so. A systemd that
// was started with an XDG_CONFIG_HOME of its own reads no unit in ~/.config:
// Install says so, and writes no definition.
//
// The service runs this program if that is in a system directory. Otherwise it
// runs a copy, which Install makes and replaces by a rename, and Uninstall
// removes: package place has the rule.
//
// # How it is built
//
// Service has the verbs; a manager, one for each system, has the steps. The
// definitions are made by functions without build tags, so that all of them are
// tested everywhere.
//
// kardianos/service installs and removes the definition on Linux and macOS, and
// starts and stops the unit on Linux. This package checks before and after, and
// repairs: it compares what kardianos' Install has left with what is wanted, and
// replaces another definition by a rename. It does the rest itself, since
// kardianos/service cannot:
//
//   - Windows: it knows only services, which need an administrator.
//   - Restart: on macOS it gives the agent 50 ms to end, however long that takes,
//     so here a restart is a stop, a wait and a start.
//   - Start and stop on macOS: its launchctl load and unload act on the session
//     of the caller, which by ssh is not the graphical one.
//   - Run: it waits for a signal, even after the agent has ended by itself.
//   - State: it takes an unreachable manager for "not installed".
//   - Escaping: its templates escape only blanks in a unit, so it gets whole
//     definitions.
package service
