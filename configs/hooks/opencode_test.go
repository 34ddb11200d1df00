//go:build unix && tools

package hooks_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
			mark, err := os.Readlink(filepath.Join(spool, ".registered"))
			if err != nil || mark != entries[0] {
				t.Errorf("the mark leads to %s, %v", mark, err)
			}
			if len(signals) != 1 || !strings.Contains(*signals[0].Payload, `"HEAD`) || !strings.Contains(*signals[0].Payload, `😀TAIL"`) {
				t.Errorf("signals: %+v", signals)
			}
		})
	}
}

// Each way to use the plugin once, in the directory of the first argument.
const once = `
import p from "./plugin.mjs"
const h = await p.server({ directory: process.argv[2] })
await h["tool.execute.after"]({ tool: "bash", sessionID: "s" }, { output: "x".repeat(Number(process.argv[3] ?? 1)) })
`

// once writes the plugin and a program that uses it, and returns the program.
func useOnce(t *testing.T, dir string) string {
	t.Helper()
	plugin, err := os.ReadFile("opencode-plugin.js")
	if err != nil {
		t.Fatal(err)
	}
	agenttest.Write(t, filepath.Join(dir, "plugin.mjs"), string(plugin))
	path := filepath.Join(dir, "run.mjs")
	agenttest.Write(t, path, once)
	return path
}

// The plugin finds the same project as all producers.
func TestOpenCodePlaces(t *testing.T) {
	use := useOnce(t, t.TempDir())
	agenttest.EachPlace(t, func(t *testing.T, p agenttest.Place) {
		cmd := exec.Command("node", use, p.Start)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.Home}
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v, output %q", err, out)
		}
		p.CheckDrops(t)
	})
}

// What is registered stays so; a registration that is gone, empty or of another
// place is made anew. A drop is not shortened, and has the tool in its name.
func TestOpenCodeRegisters(t *testing.T) {
	use := useOnce(t, t.TempDir())
	top, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	project, moved, home := filepath.Join(top, "p"), filepath.Join(top, "moved"), t.TempDir()
	if err := os.Mkdir(project, 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(dir string, want ...string) {
		t.Helper()
		for range 2 {
			cmd := exec.Command("node", use, dir, "3000000")
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "XDG_STATE_HOME=" + filepath.Join(home, "elsewhere")}
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v, output %q", err, out)
			}
		}
		drops, _ := filepath.Glob(filepath.Join(dir, ".spool", "incoming", "*.opencode.json"))
		if len(drops) != 2 {
			t.Errorf("drops: %q", drops)
		}
		for _, drop := range drops {
			if text, err := os.ReadFile(drop); err != nil || len(text) < 3_000_000 {
				t.Errorf("%s has %d bytes, %v", drop, len(text), err)
			}
			os.Remove(drop)
		}
		var got []string
		files, _ := filepath.Glob(filepath.Join(home, ".local/state/spool-agent/projects/*"))
		for _, file := range files {
			text, _ := os.ReadFile(file)
			got = append(got, string(text))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("registered: %q, want %q", got, want)
		}
	}
	mark := filepath.Join(project, ".spool", ".registered")
	run(project, project+"\n")
	file, err := os.Readlink(mark)
	if err != nil {
		t.Fatal(err)
	}
	agenttest.Write(t, file, "") // as after a power cut
	run(project, "", project+"\n")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(project, moved); err != nil {
		t.Fatal(err)
	}
	run(moved, moved+"\n", project+"\n")
	mark = filepath.Join(moved, ".spool", ".registered")
	for _, text := range []string{"", moved + "\n"} { // never; a file where there are no links
		if err := os.Remove(mark); err != nil {
			t.Fatal(err)
		}
		agenttest.Write(t, mark, text)
		run(moved, moved+"\n", project+"\n")
	}
}
