package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	// The scripts mostly wait.
	flag.Set("test.parallel", strconv.Itoa(max(8, runtime.GOMAXPROCS(0))))
	testscript.Main(m, map[string]func(){"agent": main, "spool-agent": main})
}

func TestScripts(t *testing.T) { runScripts(t, "script") }

// runScripts runs the scripts in a directory of testdata.
func runScripts(t *testing.T, dir string) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", dir),
		RequireExplicitExec: true,
		Deadline:            time.Now().Add(8 * time.Minute), // only what hangs needs so long
		Setup: func(env *testscript.Env) error {
			// An agent must find nothing of the user who runs the tests.
			for name, dir := range map[string]string{
				"HOME":            "home",
				"XDG_CONFIG_HOME": "home/config",
				"XDG_STATE_HOME":  "home/state",
			} {
				env.Setenv(name, filepath.Join(env.WorkDir, dir))
			}
			// With the race detector, every process would sleep a second at its end.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Setenv("NL", "\n")
			env.Setenv("ESC", "\x1b")
			env.Setenv("BAD", "\xff")
			return os.MkdirAll(filepath.Join(env.WorkDir, "home", "config", "spool-agent"), 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":     exits,
			"waitfor":   waitFor,
			"terminate": signalAll(syscall.SIGTERM),
			"hangup":    signalAll(syscall.SIGHUP),
			"json":      jsonField,
			"repeat":    repeat,
		},
	})
}

// exits STATUS COMMAND... runs a command that must end with this status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitStatus(ts.Exec(args[1], args[2:]...)); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func exitStatus(err error) int {
	var e *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.ExitCode()
	}
	return -1
}

// waitfor 'SHELL COMMAND' runs it until it succeeds. The limit is for what
// will never happen, so it may be long.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor 'SHELL COMMAND'")
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ts.Exec("sh", "-c", args[0]) == nil {
			return
		}
	}
	ts.Fatalf("never came true: %s", args[0])
}

// terminate and hangup send a signal to the agents in the background.
func signalAll(sig os.Signal) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) > 0 {
			ts.Fatalf("this command has no arguments")
		}
		for _, cmd := range ts.BackgroundCmds() {
			if filepath.Base(cmd.Path) == "agent" {
				ts.Check(cmd.Process.Signal(sig))
			}
		}
	}
}

// json FILE PATH VALUE compares one value of a JSON file, as JSON text; PATH is
// names and indices with dots between. VALUE may be * for any.
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: json FILE PATH VALUE")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &v))
	for _, key := range strings.Split(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			member, ok := at[key]
			if !ok {
				ts.Fatalf("no %s on the way to %s", key, args[1])
			}
			v = member
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(at) {
				ts.Fatalf("no element %s on the way to %s", key, args[1])
			}
			v = at[i]
		default:
			ts.Fatalf("nothing below %v on the way to %s", v, args[1])
		}
	}
	got, err := json.Marshal(v)
	ts.Check(err)
	if args[2] != "*" && string(got) != args[2] {
		ts.Fatalf("%s is %s, want %s", args[1], got, args[2])
	}
}

// repeat FILE COUNT TEXT writes text, COUNT times, to a file.
func repeat(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: repeat FILE COUNT TEXT")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), bytes.Repeat([]byte(args[2]), n), 0o600))
}
