package service

import (
	"encoding/binary"
	"errors"
	"strings"
	"unicode/utf16"
)

// taskXML is the logon task of a user for a spec. The task's own setting
// "hidden" hides the task and not its window, so the agent runs below a
// console host without one.
func taskXML(spec Spec, user string) (string, error) {
	if err := spec.check(); err != nil {
		return "", err
	}
	if len(spec.Env) > 0 {
		return "", errors.New("a task has no environment of its own: set the variables for the user, with setx, and unset them here")
	}
	words := []string{"--headless", windowsWord(spec.Binary)}
	for _, arg := range spec.Args {
		words = append(words, windowsWord(arg))
	}
	user = xmlText(user)
	return strings.ReplaceAll(`<?xml version="1.0" encoding="UTF-16"?>
<!-- Written by 'agent install', which also replaces it. -->
<Task version="1.3" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>spool agent: collects the signals of AI coding tools' hooks</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
      <UserId>`+user+`</UserId>
    </LogonTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>`+user+`</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>
    <IdleSettings>
      <StopOnIdleEnd>false</StopOnIdleEnd>
      <RestartOnIdle>false</RestartOnIdle>
    </IdleSettings>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <Hidden>true</Hidden>
    <RunOnlyIfIdle>false</RunOnlyIfIdle>
    <WakeToRun>false</WakeToRun>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>7</Priority>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>999</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>%SystemRoot%\System32\conhost.exe</Command>
      <Arguments>`+xmlText(strings.Join(words, " "))+`</Arguments>
    </Exec>
  </Actions>
</Task>
`, "\n", "\r\n"), nil
}

// taskBinary is the program that a task of ours starts.
func taskBinary(task string) string {
	_, rest, _ := strings.Cut(task, "<Arguments>--headless ")
	line, _, _ := strings.Cut(rest, "</Arguments>")
	line = fromXMLText(line)
	word, _, _ := strings.Cut(line, " ")
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		word, _, _ = strings.Cut(quoted, `"`) // no path has a quote in it there
	}
	return word
}

// windowsWord is a word of a command line, as programs there split it: what
// stands before a quote is doubled if it is backslashes.
func windowsWord(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t\"") {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	backslashes := 0
	for _, c := range []byte(s) {
		switch c {
		case '\\':
			backslashes++
		case '"':
			b.WriteString(strings.Repeat(`\`, backslashes+1))
			backslashes = 0
		default:
			backslashes = 0
		}
		b.WriteByte(c)
	}
	b.WriteString(strings.Repeat(`\`, backslashes))
	b.WriteByte('"')
	return b.String()
}

// utf16Text is a text as the Task Scheduler reads it.
func utf16Text(s string) []byte {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// fromUTF16 is the opposite.
func fromUTF16(b []byte) string {
	var units []uint16
	for ; len(b) >= 2; b = b[2:] {
		units = append(units, binary.LittleEndian.Uint16(b))
	}
	return strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff")
}
