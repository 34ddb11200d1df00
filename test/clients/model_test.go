//go:build linux && clients

package clients

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// A call is one of a tool. In what a client makes of it there is its mark.
type call struct {
	kind kind
	mark string
}

type kind string

const (
	shell    kind = "shell"    // a command
	fails    kind = "fails"    // a command that ends with status 3
	prints   kind = "prints"   // a command that prints some megabytes
	writes   kind = "writes"   // a file
	delegate kind = "delegate" // a subagent, for the task of that name
	awaits   kind = "awaits"   // the end of a subagent, where the model has to ask for it
)

// A task is what the model does when a prompt has the task's name.
type task struct {
	steps [][]call // the calls of a step are made at once
	end   string   // instead of a text: "refuse" or "hang"
}

var tasks = map[string]task{
	"work": {steps: [][]call{
		{{shell, "one"}}, {{writes, "file"}}, {{fails, "bad"}},
		{{shell, "par-a"}, {shell, "par-b"}, {shell, "par-c"}},
		{{prints, "big"}},
	}},
	"hand": {steps: [][]call{{{delegate, "help"}}, {{shell, "after"}}}},
	"help": {steps: [][]call{{{shell, "helped"}}}},
	"many": {steps: [][]call{{{shell, "first"}}, {{shell, "second"}}, {{shell, "third"}}}},
	"fail": {steps: [][]call{{{shell, "before"}}}, end: "refuse"},
	"text": {},
	"stop": {steps: [][]call{{{shell, "before"}}}, end: "hang"},
}

func prompt(task string) string { return "Please do mark-" + task + "." }

var marks = regexp.MustCompile(`mark-[a-z-]*[a-z]`)

// command is the shell command of a call.
func (c call) command() string {
	echo := "echo mark-" + c.mark
	switch c.kind {
	case fails:
		return echo + "; exit 3"
	case prints:
		return echo + "; yes mark | head -c 3000000"
	}
	return echo
}

// content is that of a file: as large as events may become.
func (c call) content() string { return strings.Repeat("mark-content\n", 100_000) }

// A model is a fake of the model that a client asks. It has no state: what is
// next follows from what the client tells of the conversation so far.
type model struct {
	*httptest.Server
	t      *testing.T
	client client
	dir    string        // where files are written
	hangs  chan struct{} // something is received when a request hangs
	log    *os.File      // the requests; may be nil

	mu     sync.Mutex
	ending chan struct{} // closed: requests hang no longer
}

func newModel(t *testing.T, c client, dir string) *model {
	m := &model{t: t, client: c, dir: dir, hangs: make(chan struct{}, 100), ending: make(chan struct{})}
	if dir := os.Getenv("SPOOL_CLIENTS_LOG"); dir != "" {
		var err error
		if m.log, err = os.Create(filepath.Join(dir, strings.ReplaceAll(t.Name(), "/", "-")+".jsonl")); err != nil {
			t.Fatal(err)
		}
	}
	m.Server = httptest.NewServer(m)
	t.Cleanup(func() {
		close(m.ending)
		m.Close()
	})
	return m
}

// task is the one of a name.
func (m *model) task(name string) (t task, ok bool) {
	if t, ok = m.client.tasks[name]; !ok {
		t, ok = tasks[name]
	}
	return t, ok
}

// A said is what a conversation has: a text of the user's, or a tool's result.
type said struct {
	text   string
	result bool
}

// An answer is what the model says: calls, or a text.
type answer struct {
	calls []call
	text  string
}

// next is the answer to a conversation; ok is false if the request has got none.
func (m *model) next(w http.ResponseWriter, r *http.Request, all []said, tools bool) (a answer, ok bool) {
	var t task
	done := 0
	for _, s := range all {
		for _, mark := range marks.FindAllString(s.text, -1) {
			if found, ok := m.task(strings.TrimPrefix(mark, "mark-")); ok {
				t, done = found, 0
			}
		}
		if s.result {
			done++
		}
	}
	if !tools { // a title, or a summary, which the conversation goes on with
		return answer{text: prompt("text")}, true
	}
	for _, step := range t.steps {
		if done < len(step) {
			return answer{calls: step}, true
		}
		done -= len(step)
	}
	switch t.end {
	case "refuse":
		reply(w, http.StatusBadRequest, object{"error": object{"type": "invalid_request_error", "code": 400, "status": "INVALID_ARGUMENT", "message": "mark-refused"}})
		return a, false
	case "hang":
		m.hangs <- struct{}{}
		select {
		case <-m.ending:
		case <-r.Context().Done():
		}
		return a, false
	}
	return answer{text: "mark-done"}, true
}

type object = map[string]any

func (m *model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body json.RawMessage
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			body = nil
		}
	}
	if m.log != nil {
		m.mu.Lock()
		line, _ := json.Marshal(object{"path": r.URL.String(), "method": r.Method, "body": body})
		fmt.Fprintf(m.log, "%s\n", line)
		m.mu.Unlock()
	}
	path := r.URL.Path
	is := func(suffix string) bool { return r.Method == http.MethodPost && strings.HasSuffix(path, suffix) }
	switch {
	case is("/messages"):
		m.messages(w, r, body)
	case is("/responses"):
		m.responses(w, r, body)
	case is("/chat/completions"):
		m.chat(w, r, body)
	case is(":generateContent"), is(":streamGenerateContent"):
		m.generate(w, r, body)
	case is("/count_tokens"):
		reply(w, http.StatusOK, object{"input_tokens": 100})
	case is(":countTokens"):
		reply(w, http.StatusOK, object{"totalTokens": 100})
	case strings.HasSuffix(path, "/models"):
		reply(w, http.StatusOK, object{"object": "list", "data": []any{}, "models": []any{}})
	default:
		reply(w, http.StatusNotFound, object{"error": object{"message": "not here"}})
	}
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
