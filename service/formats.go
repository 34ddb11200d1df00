package service

import (
	"encoding/binary"
	"errors"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Spec says what the service runs. Install sets Binary.
type Spec struct {
	Binary string            // absolute path of the agent
	Args   []string          // what comes after it
	Env    map[string]string // variables that the agent must see besides the manager's own
}

// check reports what no definition can express. A unit has lines, and the others
// are XML, so control characters and broken UTF-8 are refused on all systems.
func (s Spec) check() error {
	for _, text := range slices.Concat([]string{s.Binary}, s.Args, slices.Collect(maps.Values(s.Env))) {
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || strings.ContainsAny(text, "\ufffe\uffff") {
			return fmt.Errorf("the service cannot be told %q: it has a control character in it, or is not UTF-8", text)
		}
	}
	return nil
}

// unitText is a unit without its program and its environment.
//
// The limits are far above what the agent needs (30 MiB for 1,000 projects, a
// dozen threads): they are for the day when something goes wrong. Of systemd's
// hardening, a user's manager can do little more than filter system calls. What
// needs mounts or capabilities keeps the unit from starting there, or is silently
// ignored; with PrivateUsers, other users' files would look like nobody's, which
// the agent has to tell apart. The agent opens no socket but the manager's, and
// executes nothing.
//
// ExecReload goes by the shell because /bin/kill is not on every machine.
const unitText = `# Written by 'agent install', which also replaces it. For changes that last:
# systemctl --user edit ` + Name + `

[Unit]
Description=spool agent: collects the signals of AI coding tools' hooks
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=%s
ExecReload=/bin/sh -c 'kill -HUP "$$MAINPID"'
%sRestart=always
RestartSec=1
WatchdogSec=2min
TimeoutStopSec=10
KillMode=mixed
UMask=0077

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
`

// systemdUnit is the unit for a spec.
func systemdUnit(spec Spec) (string, error) {
	if err := spec.check(); err != nil {
		return "", err
	}
	if strings.ContainsAny(spec.Binary, `"'\`) {
		return "", fmt.Errorf("systemd starts no program whose path has a quote or a backslash in it, as %s has; move the agent", spec.Binary)
	}
	// In the arguments, but not in the path, a dollar sign begins a variable.
	start := unitWord(spec.Binary)
	for _, arg := range spec.Args {
		start += " " + unitWord(strings.ReplaceAll(arg, "$", "$$"))
	}
	var environment string
	for _, name := range slices.Sorted(maps.Keys(spec.Env)) {
		environment += "Environment=" + unitWord(name+"="+spec.Env[name]) + "\n"
	}
	return fmt.Sprintf(unitText, start, environment), nil
}

// unitWord writes a word for a unit: quoted if necessary, and with the percent
// signs doubled, which would begin specifiers.
func unitWord(s string) string {
	s = strings.ReplaceAll(s, "%", "%%")
	bare := strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-=,:@+%$") == ""
	if s != "" && bare {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// plistText is a LaunchAgent without its program, environment and log.
const plistText = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<!-- Written by 'agent install', which also replaces it. -->
<plist version="1.0">
<dict>
	<key>Label</key> <string>` + Name + `</string>
	<key>ProgramArguments</key>
	<array>
%s	</array>
	<key>EnvironmentVariables</key>
	<dict>
%s	</dict>
	<key>RunAtLoad</key> <true/>
	<key>KeepAlive</key> <true/>
	<key>ThrottleInterval</key> <integer>1</integer>
	<key>ProcessType</key> <string>Background</string>
	<key>Umask</key> <integer>63</integer>
	<key>StandardOutPath</key> <string>%s</string>
	<key>StandardErrorPath</key> <string>%[3]s</string>
</dict>
</plist>
`

// launchdPlist is the LaunchAgent for a spec, logging to that file.
func launchdPlist(spec Spec, log string) (string, error) {
	if err := spec.check(); err != nil {
		return "", err
	}
	var program, environment strings.Builder
	for _, word := range append([]string{spec.Binary}, spec.Args...) {
		fmt.Fprintf(&program, "\t\t<string>%s</string>\n", html.EscapeString(word))
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Env)) {
		fmt.Fprintf(&environment, "\t\t<key>%s</key> <string>%s</string>\n", name, html.EscapeString(spec.Env[name]))
	}
	return fmt.Sprintf(plistText, &program, &environment, html.EscapeString(log)), nil
}

// plistBinary returns the program that a plist of ours starts.
func plistBinary(plist string) string {
	return between(plist, "<array>\n\t\t<string>", "</string>")
}

// taskText is a logon task without its user and arguments; what it leaves out
// has the right default. Its setting Hidden hides the task, and not the window of
// its program, so the agent runs under a console host that has no window.
const taskText = `<?xml version="1.0" encoding="UTF-16"?>
<!-- Written by 'agent install', which also replaces it. -->
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>spool agent: collects the signals of AI coding tools' hooks</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <UserId>%s</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>%[1]s</UserId>
      <LogonType>InteractiveToken</LogonType>
    </Principal>
  </Principals>
  <Settings>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <Hidden>true</Hidden>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>255</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>%%SystemRoot%%\System32\conhost.exe</Command>
      <Arguments>--headless %s</Arguments>
    </Exec>
  </Actions>
</Task>
`

// taskXML is the logon task of a user for a spec. quoted quotes an argument, as
// programs on Windows expect it.
func taskXML(spec Spec, user string, quoted func(arg string) string) (string, error) {
	if err := spec.check(); err != nil {
		return "", err
	}
	if len(spec.Env) > 0 {
		return "", errors.New("a task has no environment of its own: set the variables for the user, with setx, and unset them here")
	}
	// On Windows no path has a quote in it, and no program's path ends in a backslash.
	line := `"` + spec.Binary + `"`
	for _, arg := range spec.Args {
		line += " " + quoted(arg)
	}
	text := fmt.Sprintf(taskText, html.EscapeString(user), html.EscapeString(line))
	return strings.ReplaceAll(text, "\n", "\r\n"), nil
}

// taskBinary returns the program that a task of ours starts.
func taskBinary(task string) string {
	return between(task, "<Arguments>--headless &#34;", "&#34;")
}

// utf16Text encodes a text as the Task Scheduler reads it.
func utf16Text(s string) []byte {
	b, _ := binary.Append(nil, binary.LittleEndian, utf16.Encode([]rune("\ufeff"+s))) // cannot fail with numbers
	return b
}

// fromUTF16 decodes what utf16Text has encoded.
func fromUTF16(b []byte) string {
	units := make([]uint16, len(b)/2)
	binary.Decode(b, binary.LittleEndian, units) // cannot fail with numbers
	return strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff")
}

// between returns the text between two others in XML.
func between(text, before, after string) string {
	_, text, _ = strings.Cut(text, before)
	text, _, _ = strings.Cut(text, after)
	return html.UnescapeString(text)
}
