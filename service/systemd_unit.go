package service

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const unitName = Name + ".service"

// systemdUnit is the unit for a spec.
//
// The limits are far above what the agent needs (30 MiB for 1,000 projects, a
// dozen threads): they are for the day when something goes wrong. Of systemd's
// hardening it has what a user's manager can do, which is not much more than
// to filter system calls: what needs mounts or capabilities keeps the unit
// from starting there, is ignored without a word, or, with PrivateUsers, makes
// other people's files look like nobody's, which the agent has to tell apart.
// The agent opens no socket but the manager's, and executes nothing.
//
// ExecReload goes by the shell because /bin/kill is not on every machine.
func systemdUnit(spec Spec) (string, error) {
	if err := spec.check(); err != nil {
		return "", err
	}
	if strings.ContainsAny(spec.Binary, `"'\`) {
		return "", fmt.Errorf("systemd starts no program whose path has a quote or a backslash in it, as %s has; move the agent", spec.Binary)
	}
	var b strings.Builder
	b.WriteString(`# Written by 'agent install', which also replaces it. For changes that last:
# systemctl --user edit ` + Name + `

[Unit]
Description=spool agent: collects the signals of AI coding tools' hooks
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
`)
	// In the path a dollar is a dollar, in the arguments it begins a variable.
	fmt.Fprintf(&b, "ExecStart=%s", unitWord(spec.Binary))
	for _, arg := range spec.Args {
		b.WriteString(" " + unitWord(strings.ReplaceAll(arg, "$", "$$")))
	}
	b.WriteString(`
ExecReload=/bin/sh -c 'kill -HUP "$$MAINPID"'
`)
	for _, name := range slices.Sorted(maps.Keys(spec.Env)) {
		fmt.Fprintf(&b, "Environment=%s\n", unitWord(name+"="+spec.Env[name]))
	}
	b.WriteString(`Restart=always
RestartSec=1
WatchdogSec=2min
TimeoutStartSec=60
TimeoutStopSec=10
KillMode=mixed
UMask=0077

LimitNOFILE=65536
TasksMax=1024
MemoryHigh=384M
MemoryMax=512M

NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=~@clock @cpu-emulation @debug @keyring @module @mount @obsolete @raw-io @reboot @swap

[Install]
WantedBy=default.target
`)
	return b.String(), nil
}

// unitWord is a word in a unit: quoted if it must be, and without specifiers.
func unitWord(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	bare := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-=,:@+%$") == ""
	if s != "" && bare {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// unitBinary is the program that a unit starts, as far as it is written as
// systemdUnit does.
func unitBinary(unit string) string {
	for line := range strings.Lines(unit) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "ExecStart=")
		if !ok {
			continue
		}
		word, _, _ := strings.Cut(command, " ")
		if quoted, ok := strings.CutPrefix(command, `"`); ok {
			word, _, _ = strings.Cut(quoted, `"`)
		}
		return strings.ReplaceAll(word, "%%", "%")
	}
	return ""
}
