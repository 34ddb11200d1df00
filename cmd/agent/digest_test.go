//go:build unix && tools

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// The README's consumer keeps the newest signals of every form in its list.
func TestDigest(t *testing.T) {
	_, digest, found := strings.Cut(agenttest.Read(t, filepath.Join("..", "..", "README.md")), "```sh\n# sh digest.sh")
	digest, _, ends := strings.Cut(digest, "```")
	if !found || !ends {
		t.Fatal("the README has no digest.sh")
	}
	u := agenttest.NewUser(t)
	project := u.Project("a project")
	agenttest.Write(t, filepath.Join(project, "digest.sh"), "#"+digest)
	list := filepath.Join(project, "digest.md")
	take := func(drops ...string) string {
		t.Helper()
		for _, drop := range drops {
			c := u.Agent("drop", "--hook", "--project", project)
			c.Stdin = strings.NewReader(drop)
			u.Do(c)
		}
		c := u.Agent("--project", project, "drain", "--", "sh", "digest.sh", "digest.md")
		c.Dir = project
		u.Do(c)
		return agenttest.Read(t, list)
	}
	want := "- Bash: go test\n- UserPromptSubmit: two lines\n- me: - a remark\n- Stop: All is done.\n- SessionEnd\n"
	got := take(`{"hook_event_name":"PostToolUse","tool_name":"Bash","tool_input":{"command":"go test"}}`,
		`{"hook_event_name":"UserPromptSubmit","prompt":"two\nlines"}`,
		`{"tool_name":"me","payload":"- a remark"}`,
		`{"hook_event_name":"Stop","last_assistant_message":"All is done."}`,
		`{"hook_event_name":"SessionEnd"}`)
	if got != want {
		t.Errorf("the digest is\n%swant\n%s", got, want)
	}
	var many []string
	for i := range 80 {
		many = append(many, fmt.Sprintf(`{"tool_name":"me","payload":"%d"}`, i))
	}
	for range 2 {
		take(many...)
	}
	if got := take(many...); strings.Count(got, "\n") != 200 || strings.Contains(got, "Bash") || !strings.HasSuffix(got, "- me: 79\n") {
		t.Errorf("not the newest 200:\n%s", got)
	}
}
