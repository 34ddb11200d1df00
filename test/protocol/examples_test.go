//go:build unix

package protocol

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"spoolagent/internal/agenttest"
)

const protocol = "../../spoolfiles/PROTOCOL.md"

// maxLines is how long an example may be.
const maxLines = 15

// The examples are functions, but for those in sh, which are programs. What
// makes a program of a function comes before and after it:
//
//	drop PROJECT NAME N       drops N signals NAME-0 to NAME-(N-1), 16 at a time
//	drain PROJECT SECONDS     drains to standard output; exit status as of agent drain
var frames = map[string]struct{ before, after string }{
	"drop.sh": {}, "drain.sh": {},
	"drop.py": {after: `
import concurrent.futures, sys

def one(i):
    drop(sys.argv[1], {"tool_name": "py", "payload": f"<{sys.argv[2]}-{i}> \"Grüße\"\n日本"})

with concurrent.futures.ThreadPoolExecutor(16) as pool:
    list(pool.map(one, range(int(sys.argv[3]))))
`},
	"drain.py": {after: `
import sys

def out(signals):
    sys.stdout.buffer.write(signals)
    sys.stdout.buffer.flush()

try:
    drain(sys.argv[1], out, float(sys.argv[2]))
except TimeoutError:
    sys.exit(4)
`},
	"drop.js": {after: `
const { Worker, isMainThread, workerData } = require("worker_threads");
if (isMainThread) {
  const [project, name, n] = process.argv.slice(2);
  for (let first = 0; first < 16 && first < n; first++) new Worker(__filename, { workerData: { project, name, n, first } });
} else {
  const { project, name, n, first } = workerData;
  for (let i = first; i < n; i += 16) drop(project, { tool_name: "js", payload: ` + "`<${name}-${i}> \"Grüße\"\\n日本`" + ` });
}
`},
	"drain.js": {after: `
const out = (signals) => new Promise((done, failed) => process.stdout.write(signals, (e) => (e ? failed(e) : done())));
drain(process.argv[2], out, Number(process.argv[3])).catch((e) => {
  console.error(e.message);
  process.exitCode = e.message === "no answer in time" ? 4 : 1;
});
`},
	"drop.go": {`package main

import (
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

`, `
func main() {
	n, _ := strconv.Atoi(os.Args[3])
	var all sync.WaitGroup
	for first := range 16 {
		all.Go(func() {
			for i := first; i < n; i += 16 {
				if err := drop(os.Args[1], "go", fmt.Sprintf("<%s-%d> \"Grüße\"\n日本", os.Args[2], i)); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	all.Wait()
}
`},
	"drain.go": {`package main

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

`, `
func main() {
	timeout, _ := time.ParseDuration(os.Args[2] + "s")
	err := drain(os.Args[1], timeout, func(signals []byte) error {
		_, err := os.Stdout.Write(signals)
		return err
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			os.Exit(4)
		}
		os.Exit(1)
	}
}
`},
}

var exampleForm = regexp.MustCompile("(?m)^<!-- example: (\\S+) -->\n```[a-z]+\n((?:.*\n)*?)```$")

// readExamples returns the text of each example by its name.
func readExamples() (map[string]string, error) {
	text, err := os.ReadFile(protocol)
	if err != nil {
		return nil, err
	}
	examples := map[string]string{}
	for _, m := range exampleForm.FindAllStringSubmatch(string(text), -1) {
		if _, twice := examples[m[1]]; twice {
			return nil, fmt.Errorf("%s: two examples are called %s", protocol, m[1])
		}
		examples[m[1]] = m[2]
	}
	return examples, nil
}

// writeExamples makes programs of the examples, in bin.
func writeExamples() error {
	examples, err := readExamples()
	if err != nil {
		return err
	}
	for name, frame := range frames {
		example, ok := examples[name]
		if !ok {
			return fmt.Errorf("%s has no example %s", protocol, name)
		}
		file := filepath.Join(bin, name)
		if err := os.WriteFile(file, []byte(frame.before+example+frame.after), 0o600); err != nil {
			return err
		}
		if program, isGo := strings.CutSuffix(file, ".go"); isGo {
			if err := agenttest.Build(program, file); err != nil {
				return err
			}
		}
	}
	return nil
}

// language is how the examples in one language are run.
type language struct {
	name  string
	drop  []string
	drain []string
	shell bool
}

// languages are those of which this machine has what runs them: sh and Go, and
// with the build tag tools others.
var languages = append(interpreted, language{name: "go", drop: []string{"drop"}, drain: []string{"drain"}})

func script(name, ending string, shell bool, argv ...string) language {
	with := func(file string) []string { return append(argv[:len(argv):len(argv)], file+ending) }
	return language{name, with("drop"), with("drain"), shell}
}

func (l language) command(s *stage, argv []string, args ...string) *exec.Cmd {
	if len(argv) == 1 {
		return s.Command(filepath.Join(bin, argv[0]), args...)
	}
	rest := append([]string(nil), argv[1:]...)
	rest[len(rest)-1] = filepath.Join(bin, rest[len(rest)-1])
	return s.Command(argv[0], append(rest, args...)...)
}

// consumer drains to standard output.
func (l language) consumer(s *stage, seconds string) *exec.Cmd {
	return l.command(s, l.drain, s.project, seconds)
}

// produce drops n signals, NAME-0 and so on, 16 at a time, and returns their names.
func (l language) produce(s *stage, name string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", name, i))
	}
	if !l.shell {
		s.must(l.command(s, l.drop, s.project, name, fmt.Sprint(n)), "")
		return names
	}
	// A program a drop; and every kind of drop.
	kinds := []string{
		`{"payload":"<%s> \"Grüße\"\n日本"}`,
		"\n{ \"hook_event_name\": \"Stop\", \"id\": \"<%s>\" }\n",
		`{"type":"agent-turn-complete","turn-id":"1","last-assistant-message":"<%s>"}`,
	}
	var all sync.WaitGroup
	for first := range 16 {
		all.Go(func() {
			for i := first; i < n; i += 16 {
				s.must(l.command(s, l.drop, s.project), fmt.Sprintf(kinds[i%len(kinds)], names[i]))
			}
		})
	}
	all.Wait()
	return names
}

// eachLanguage runs a test once for the examples of each language, all at once:
// most of the time they wait.
func eachLanguage(t *testing.T, test func(t *testing.T, l language)) {
	for _, l := range languages {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			test(t, l)
		})
	}
}

func TestExamplesAreShort(t *testing.T) {
	examples, err := readExamples()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range examples {
		if _, ok := frames[name]; !ok {
			t.Errorf("nothing runs the example %s", name)
		}
		if n := strings.Count(text, "\n"); n > maxLines {
			t.Errorf("%s has %d lines, more than %d", name, n, maxLines)
		}
	}
	text, err := os.ReadFile(protocol)
	if err != nil {
		t.Fatal(err)
	}
	if fences := strings.Count(string(text), "\n```") / 2; fences != len(examples) {
		t.Errorf("%d blocks of code, but %d examples that are run", fences, len(examples))
	}
}
