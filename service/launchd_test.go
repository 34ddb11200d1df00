package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"howett.net/plist"
)

// What launchd reads is what launchd.plist(5) describes: these keys, of these
// types, with everything that was given.
func TestPlist(t *testing.T) {
	const log = "/Users/jo & co/Library/Logs/spool-agent/agent.log"
	text, err := launchdPlist(odd, log)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if _, err := plist.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	program := []any{odd.Binary}
	for _, arg := range odd.Args {
		program = append(program, arg)
	}
	environment := make(map[string]any)
	for name, value := range odd.Env {
		environment[name] = value
	}
	want := map[string]any{
		"Label":                "spool-agent", // as the file is called
		"ProgramArguments":     program,
		"EnvironmentVariables": environment,
		"RunAtLoad":            true,
		"KeepAlive":            true,
		"ThrottleInterval":     uint64(1),
		"ProcessType":          "Background",
		"Umask":                uint64(0o077),
		"StandardOutPath":      log,
		"StandardErrorPath":    log,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("launchd would read (-want +got):\n%s", diff)
	}
}
