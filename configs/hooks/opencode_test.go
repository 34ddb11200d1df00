//go:build unix && tools

package hooks_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

func TestOpenCode(t *testing.T) {
	w := newWorld(t)
	w.serve()
	plugin, err := os.ReadFile("opencode-plugin.js")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(w.scripts, "plugin.mjs")
	agenttest.Write(t, path, string(plugin))
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(here, "testdata")
	all := fixtures(t, "opencode")
	out := w.Do(w.in("node", filepath.Join(data, "opencode-run.mjs"), path, w.project, filepath.Join(data, "events", "opencode.jsonl")))
	if out != "" {
		t.Errorf("printed %q", out)
	}
	w.golden("opencode", len(all))
}

// The plugin makes and registers the spool, and follows no link.
func TestOpenCodeSpool(t *testing.T) {
	plugin, err := os.ReadFile("opencode-plugin.js")
	if err != nil {
		t.Fatal(err)
	}
	const drop = `
import p from %q
const h = await p.server({ directory: process.argv[2] })
await h["tool.execute.after"]({ tool: "bash", sessionID: "s" }, { output: "HEAD" + "x\n".repeat(3e6) + "😀TAIL", metadata: { n: 1n } })
`
	for _, name := range []string{"fresh", "linked", "linked incoming"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			path := filepath.Join(w.scripts, "plugin.mjs")
			agenttest.Write(t, path, string(plugin))
			agenttest.Write(t, filepath.Join(w.scripts, "run.mjs"), fmt.Sprintf(drop, "./plugin.mjs"))
			outside := t.TempDir()
			spool := filepath.Join(w.project, ".spool")
			switch name {
			case "linked":
				err = os.Symlink(outside, spool)
			case "linked incoming":
				if err = os.Mkdir(spool, 0o700); err == nil {
					err = os.Symlink(outside, filepath.Join(spool, "incoming"))
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			w.Do(w.in("node", filepath.Join(w.scripts, "run.mjs"), w.project))
			if left, _ := os.ReadDir(outside); len(left) > 0 {
				t.Errorf("outside has %v", left)
			}
			if name != "fresh" {
				return
			}
			entries, err := filepath.Glob(filepath.Join(w.Home, ".local/state/spool-agent/projects/*"))
			if err != nil || len(entries) != 1 {
				t.Fatalf("registered: %q, %v", entries, err)
			}
			if text, err := os.ReadFile(entries[0]); string(text) != w.project+"\n" {
				t.Errorf("registered: %q, %v", text, err)
			}
			_, signals := w.drain()
			if len(signals) != 1 || !strings.Contains(*signals[0].Payload, `"HEAD`) || !strings.Contains(*signals[0].Payload, `😀TAIL"`) {
				t.Errorf("signals: %+v", signals)
			}
		})
	}
}
