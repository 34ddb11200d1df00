// Package service makes the agent a service of its user, and tells the system
// how the agent does. It needs no administrator: what it installs belongs to
// the user, starts when the user logs in, and sees the user's files.
//
//	Linux     a unit of systemd --user   ~/.config/systemd/user/spool-agent.service
//	macOS     a LaunchAgent of launchd   ~/Library/LaunchAgents/spool-agent.plist
//	Windows   a logon task               %LOCALAPPDATA%\spool-agent\task.xml (our copy)
//
// # What always holds
//
// A definition (unit, plist, task) is at its place whole or not at all,
// whenever the installer ends: it is written aside, synced and renamed.
// Nothing is written before the manager has answered.
//
// All verbs may be repeated. Each looks at what is, does what is missing, and
// says what it did; one that was killed half-way is completed by the next. So
// that this holds between two steps as well, Install does not trust that an
// earlier one went on to the end: it restarts an agent that was started before
// its definition was written, or that is not the binary at that path any more.
//
// # How it is built
//
// Service has the verbs; a manager, one for each system, has the steps. What a
// manager writes is made by functions without build tags (systemdUnit,
// launchdPlist, taskXML), so that all of them are tested everywhere.
//
// kardianos/service names the system that runs a Linux machine, and starts,
// stops and restarts the unit. It does no more because its Install writes the
// definition in place (a kill or a full disk leaves a half one, which the next
// Install then refuses to touch), enables it before systemd has read it, knows
// no XDG_CONFIG_HOME and escapes only blanks; its Status takes an unreachable
// manager for "not installed"; its launchd commands are those that Apple calls
// legacy; and on Windows it knows services only, which need an administrator.
// It also drops what systemctl complains of, so the reason for a failure is
// asked for afterwards.
package service
