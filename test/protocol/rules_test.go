//go:build unix

package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"spoolagent/internal/agenttest"
)

// ruleTests names the tests of each rule of PROTOCOL.md: here, or in another
// package's directory.
var ruleTests = map[string][]string{
	"R1":  {"TestDirectories", "configs.TestHookFirstUse", "spoolfiles.TestModesDespiteUmask"},
	"R2":  {"TestLinksAreNotServed", "TestProducersFail", "queue.TestHostileDirectories"},
	"R3":  {"TestNames", "queue.TestNamesThatAreNoDrops", "spoolfiles.TestDropSource"},
	"R4":  {"TestProducersKilled", "TestTogether", "TestWithoutTmp"},
	"R5":  {"TestTidying"},
	"R6":  {"TestDrops", "spoolfiles/signal.TestDecodeDropRefuses"},
	"R7":  {"TestDrops", "spoolfiles/signal.TestDecodeSignal", "spoolfiles/signal.TestVectors"},
	"R8":  {"TestDrops", "spoolfiles/signal.TestOrigin"},
	"R9":  {"TestDrops", "spoolfiles/signal.TestDecodeEvent", "spoolfiles/signal.TestDecodeForms", "spoolfiles/signal.TestDecodeSource"},
	"R10": {"TestDrops"},
	"R11": {"TestDrops", "TestShortened", "spoolfiles/signal.TestShorten", "queue.TestPayloadLimit"},
	"R12": {"TestOrder", "queue.TestOrderIsTimeThenName"},
	"R13": {"TestWrittenInPlace", "queue.TestFreshDropIsLeft"},
	"R14": {"TestRejects", "queue.TestHostileDrops"},
	"R15": {"TestCap", "queue.TestCapEvictsTheOldest", "queue.TestLongBacklog"},
	"R16": {"TestRequests", "queue.TestInvalidIDs"},
	"R17": {"TestRequests", "TestBarrier", "TestRefused"},
	"R18": {"TestDrops", "TestRequests", "spoolfiles/signal.TestAppendLine"},
	"R19": {"TestBarrier"},
	"R20": {"TestTooLate", "TestOutputFails", "TestTogether", "queue.TestClaimedReplyDoesNotReturn"},
	"R21": {"TestReplyTTL", "TestKilledOverReply", "queue.TestGiveBackGoesAhead"},
	"R22": {"TestWithdrawn", "TestTogether", "queue.TestWithdrawnRequestTakesNothing"},
	"R23": {"TestTogether"},
	"R24": {"TestIsOneServing", "agent.TestServingAsksTheLock", "agent.TestAskingDoesNotHinder"},
	"R25": {"TestNoAgent", "TestKilledAfterRequest"},
	"R26": {"TestQueueByFlock", "test/stress.TestEverybodyAtOnce", "queue.TestBesideStrangers"},
	"R27": {"TestQueueByFlock", "TestRefused", "queue.TestHostileQueue"},
	"R28": {"TestQueueByFlock", "queue.TestTornLastLineSwallowsNothing", "queue.TestKillBesideStrangers"},
	"R29": {"TestQueueByFlock", "queue.TestOthersWorkIsNoticed"},
	"R30": {"TestTogether", "queue.TestKill", "queue.TestModel", "test/crash.TestKill"},
	"R31": {"test/powercut.TestPowerCut", "test/powercut.TestAnsweredReplyStays", "test/powercut.TestStrangersAppendAfterDrain"},
	"R32": {"TestRegistration", "configs.TestHookRegisters", "configs.TestHookRegistersAnew", "configs.TestHookCannotRegister"},
	"R33": {"configs.TestHookPlaces", "configs.TestHookTools", "spoolfiles.TestFind", "spoolfiles.TestSettingsAreNoSpool"},
	"R34": {"TestOff", "configs.TestHookOff", "spoolfiles.TestOff"},
}

// Every rule has a test, every test that is named here exists, and no rule is
// left over.
func TestEveryRuleHasATest(t *testing.T) {
	text, err := os.ReadFile(protocol)
	if err != nil {
		t.Fatal(err)
	}
	var rules []string
	for i, m := range regexp.MustCompile(`(?m)^- \*\*(R\d+)\*\* `).FindAllSubmatch(text, -1) {
		rules = append(rules, string(m[1]))
		if want := fmt.Sprintf("R%d", i+1); want != rules[i] {
			t.Errorf("rule %s comes where %s should", rules[i], want)
		}
	}
	if len(rules) == 0 || len(rules) != len(ruleTests) {
		t.Errorf("%d rules in %s, %d here", len(rules), protocol, len(ruleTests))
	}
	inDrops := map[string]bool{}
	for _, d := range drops {
		inDrops[d.rule] = true
	}
	sources := map[string]string{}
	for _, rule := range rules {
		if len(ruleTests[rule]) == 0 {
			t.Errorf("%s has no test", rule)
		}
		for _, name := range ruleTests[rule] {
			dir, test := "test/protocol", name
			if i := strings.LastIndex(name, "."); i >= 0 {
				dir, test = name[:i], name[i+1:]
			}
			if _, read := sources[dir]; !read {
				files, _ := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
				for _, file := range files {
					data, err := os.ReadFile(file)
					if err != nil {
						t.Fatal(err)
					}
					sources[dir] += string(data)
				}
			}
			if !strings.Contains(sources[dir], "\nfunc "+test+"(t *testing.T) {") {
				t.Errorf("%s is said to be tested by %s, which is not there", rule, name)
			}
			if test == "TestDrops" && !inDrops[rule] {
				t.Errorf("%s is said to be tested by TestDrops, which has no case of it", rule)
			}
		}
	}
}

// at is when the drops of a test were made, long enough ago to be no longer fresh.
const at = 1763852400

// put makes a file by rename, as old as at and some milliseconds more. It does not
// come from tmp, where the agent removes what is that old.
func (s *stage) put(dir, name, content string, ms int) {
	s.Helper()
	tmp := filepath.Join(s.Home, "put")
	agenttest.Write(s, tmp, content)
	when := time.Unix(at, int64(ms)*1e6)
	if err := os.Chtimes(tmp, when, when); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(tmp, s.spool(dir, name)); err != nil {
		s.Fatal(err)
	}
}

// drain drains by the protocol.
func (s *stage) drain() string {
	s.Helper()
	return s.must(s.Command(filepath.Join(bin, "drain"), s.project, "60"), "")
}

// reason is why something was rejected; empty if it was not.
func (s *stage) reason(name string) string {
	data, err := os.ReadFile(s.spool("rejected", name+".reason"))
	if err != nil {
		return ""
	}
	return string(data)
}

// drops are drops and what becomes of them: a line without its beginning and
// end, or a part of the reason why they are rejected.
var drops = []struct{ rule, drop, line, reason string }{
	{"R6", ` {"payload": "x"} `, `"cwd":"PROJECT","payload":"x"`, ""},
	{"R6", "\r\n\t{\n\"payload\":\"x\"}\n\n", `"cwd":"PROJECT","payload":"x"`, ""},
	{"R6", "\ufeff" + `{"payload":"x"}`, "", "byte order mark"},
	{"R6", `{"payload":"x"}{"payload":"y"}`, "", "more text"},
	{"R6", `[{"payload":"x"}]`, "", "not a JSON object"},
	{"R6", `{"payload":"x"`, "", "cut off"},
	{"R6", `{"payload":"` + "\xfc" + `"}`, "", "not UTF-8"},
	{"R6", ``, "", "not a JSON object"},
	{"R7", `{"payload":"p","cwd":"/w","tool_name":"t","recorded_at":7}`, `7,"tool_name":"t","cwd":"/w","payload":"p"`, ""},
	{"R7", `{"recorded_at":18446744073709551615,"tool_name":"t","payload":null}`, `18446744073709551615,"tool_name":"t","cwd":"PROJECT"`, ""},
	{"R7", `{"recorded_at":18446744073709551616,"tool_name":"t"}`, "", "recorded_at"},
	{"R7", `{"recorded_at":1.0,"tool_name":"t"}`, "", "recorded_at"},
	{"R7", `{"recorded_at":1e3,"tool_name":"t"}`, "", "recorded_at"},
	{"R7", `{"recorded_at":-0,"tool_name":"t"}`, "", "recorded_at"},
	{"R7", `{"recorded_at":null,"tool_name":"t"}`, "", "recorded_at"},
	{"R7", `{"cwd":null,"tool_name":"t"}`, "", "cwd"},
	{"R7", `{"tool_name":null,"payload":null}`, "", "neither"},
	{"R7", `{"recorded_at":1,"cwd":"/w"}`, "", "neither"},
	{"R7", `{"Payload":"p"}`, "", "neither"},
	{"R7", `{"payload":"p","Payload":1,"more":[{"x":2}],"more":3}`, `"cwd":"PROJECT","payload":"p"`, ""},
	{"R7", `{"payload":"p","payload":"p"}`, "", "twice"},
	{"R7", `{"payload":{"x":1}}`, "", "not a string"},
	{"R7", `{"payload":"\ud800"}`, "", "half a surrogate pair"},
	{"R7", `{"payload":"p","\ud800":1}`, "", "half a surrogate pair"},
	{"R8", `{"tool_name":"t"}`, `1763852400,"tool_name":"t","cwd":"PROJECT"`, ""},
	{"R8", `{"tool_name":"t","recorded_at":0,"cwd":""}`, `0,"tool_name":"t","cwd":""`, ""},
	{"R9", `{"hook_event_name":"E", "tool_name":"t", "cwd":"/w", "n":[1.0, {"b":2,"a":1}]}`,
		`"tool_name":"t","cwd":"/w","payload":"{\"hook_event_name\":\"E\",\"n\":[1.0,{\"b\":2,\"a\":1}]}"`, ""},
	{"R9", `{"hook_event_name":"E","payload":"p"}`, `"cwd":"PROJECT","payload":"{\"hook_event_name\":\"E\",\"payload\":\"p\"}"`, ""},
	{"R9", `{"hook_event_name":1,"payload":"p"}`, `"cwd":"PROJECT","payload":"p"`, ""},
	{"R9", `{"hook_event_name":"E","workspace_roots":["/r","/s"]}`,
		`"cwd":"/r","payload":"{\"hook_event_name\":\"E\",\"workspace_roots\":[\"/r\",\"/s\"]}"`, ""},
	{"R9", `{"hook_event_name":"E","timestamp":"2025-11-23T00:00:00.5Z","cwd":"/w"}`,
		`1763856000,"cwd":"/w","payload":"{\"hook_event_name\":\"E\",\"timestamp\":\"2025-11-23T00:00:00.5Z\"}"`, ""},
	{"R10", `{"type":"agent-turn-complete","turn-id":"1","cwd":"/w"}`,
		`"cwd":"/w","payload":"{\"type\":\"agent-turn-complete\",\"turn-id\":\"1\"}"`, ""},
	{"R10", `{"type":"t","thread-id":"1"}`, `"payload":"{\"type\":\"t\",\"thread-id\":\"1\"}"`, ""},
	{"R10", `{"type":"t"}`, "", "neither"},
	{"R11", `{"payload":"x"}` + strings.Repeat(" ", 64<<20-15), `"payload":"x"`, ""},
	{"R11", `{"payload":"x"}` + strings.Repeat(" ", 64<<20-14), "", "67108865 bytes, more than the limit"},
	{"R11", `{"payload":"` + strings.Repeat("x", 4096) + `"}`, strings.Repeat("x", 4096) + `"`, ""},
	{"R18", `{"payload":"<>&/é\u00e9\u2028\u0007\n\"\\"}`, `"payload":"<>&/éé` + "\u2028" + `\u0007\n\"\\"`, ""},
}

func TestDrops(t *testing.T) {
	s := newStage(t, "")
	s.start()
	for i, d := range drops {
		name := fmt.Sprintf("%02d.json", i)
		s.put("incoming", name, d.drop, 0)
		got, reason := s.drain(), s.reason(name)
		switch line := strings.ReplaceAll(d.line, "PROJECT", s.project); {
		case d.reason != "":
			if got != "" || !strings.Contains(reason, d.reason) || strings.Count(reason, "\n") != 1 {
				t.Errorf("%s: %.80q became %q, rejected with %q, not with %q", d.rule, d.drop, got, reason, d.reason)
			}
			if data, err := os.ReadFile(s.spool("rejected", name)); err != nil || string(data) != d.drop {
				t.Errorf("%s: %.80q was kept as %.80q, %v", d.rule, d.drop, data, err)
			}
		case reason != "" || !strings.HasPrefix(got, `{"recorded_at":`) || !strings.HasSuffix(got, line+"}\n") || strings.Count(got, "\n") != 1:
			t.Errorf("%s: %.80q became %.200q, rejected with %q; want %.200q", d.rule, d.drop, got, reason, line)
		}
	}
}

func TestShortened(t *testing.T) {
	s := newStage(t, "")
	s.start()
	build := strings.Repeat("head", 2000) + strings.Repeat("tail", 2000)
	s.put("incoming", "1.json", `{"payload":"`+build+`"}`, 1)
	s.put("incoming", "2.json", `{"hook_event_name":"E","session_id":"s","output":"`+build+`"}`, 2)
	lines := strings.SplitAfter(s.drain(), "\n")
	if len(lines) != 3 {
		t.Fatalf("%q", lines)
	}
	payload := func(line string) string {
		var signal struct{ Payload string }
		if err := json.Unmarshal([]byte(line), &signal); err != nil {
			t.Fatal(err)
		}
		if n := len(signal.Payload); n > 4096 || n < 4000 {
			t.Errorf("a payload of %d bytes", n)
		}
		return signal.Payload
	}
	if p := payload(lines[0]); !regexp.MustCompile(`^(head)+h?e?a?…\[\d+ bytes cut\]…$`).MatchString(p) {
		t.Errorf("a signal's payload: %q", p)
	}
	var event struct {
		Name    string `json:"hook_event_name"`
		Session string `json:"session_id"`
		Output  string
	}
	if err := json.Unmarshal([]byte(payload(lines[1])), &event); err != nil || event.Name != "E" || event.Session != "s" ||
		!regexp.MustCompile(`^headh.*…\[\d+ bytes cut\]….*tail$`).MatchString(event.Output) {
		t.Errorf("an event's payload: %v: %+v", err, event)
	}
}

func TestDirectories(t *testing.T) {
	s := newStage(t, "")
	if err := os.RemoveAll(s.spool()); err != nil {
		t.Fatal(err)
	}
	s.start()
	for _, dir := range []string{"", "tmp", "incoming", "control", "rejected"} {
		if info, err := os.Lstat(s.spool(dir)); err != nil || info.Mode() != os.ModeDir|0o700 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
	}
	if data, err := os.ReadFile(s.spool(".gitignore")); err != nil || string(data) != "*\n" {
		t.Errorf(".gitignore: %q, %v", data, err)
	}
	s.drop("one")
	agenttest.Until(s, "a file is in the queue", func() bool { return s.status().Queued == 1 })
	for _, file := range []string{"distill-pending.queue", "agent.lock", ".gitignore"} {
		if info, err := os.Lstat(s.spool(file)); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
}

func TestLinksAreNotServed(t *testing.T) {
	for _, dir := range []string{"", "tmp", "incoming", "control", "rejected"} {
		s := newStage(t, "")
		elsewhere := filepath.Join(s.Home, "elsewhere")
		if err := os.Rename(s.spool(dir), elsewhere); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(elsewhere, s.spool(dir)); err != nil {
			t.Fatal(err)
		}
		agent := s.Run("--project", s.project)
		agenttest.Until(s, "it is refused", func() bool {
			st := s.status()
			return st.State == "error" && strings.Contains(st.Error, "symbolic link")
		})
		agent.Kill() // it may not know yet what SIGTERM means
	}
}

func TestNames(t *testing.T) {
	s := newStage(t, "")
	s.start()
	odd := []string{".hidden.json", ".json", "drop", "drop.json.tmp", "drop.JSON"}
	for _, name := range odd {
		s.put("incoming", name, `{"payload":"<odd>"}`, 0)
	}
	even := []string{"a.json", " \n\".json", "\xff.json", strings.Repeat("x", 250) + ".json"}
	for i, name := range even {
		s.put("incoming", name, fmt.Sprintf(`{"payload":"<%d>"}`, i), i)
	}
	if got, want := agenttest.Names(s.drain()), []string{"0", "1", "2", "3"}; !slices.Equal(got, want) {
		t.Errorf("drained %q, want %q", got, want)
	}
	slices.Sort(odd)
	if left := s.list("incoming"); !slices.Equal(left, odd) {
		t.Errorf("left in incoming: %q", left)
	}
}

func TestWithoutTmp(t *testing.T) {
	s := newStage(t, "")
	s.start()
	agenttest.Write(s, s.spool("incoming", ".a.json"), `{"payload":"<a>"}`)
	if got := s.drain(); got != "" {
		t.Errorf("a drop that is being written: %q", got)
	}
	if err := os.Rename(s.spool("incoming", ".a.json"), s.spool("incoming", "a.json")); err != nil {
		t.Fatal(err)
	}
	if got := agenttest.Names(s.drain()); !slices.Equal(got, []string{"a"}) {
		t.Errorf("drained %q", got)
	}
}

func TestTidying(t *testing.T) {
	s := newStage(t, "")
	old := time.Now().Add(-25 * time.Hour)
	for _, name := range []string{"old", "young"} {
		agenttest.Write(s, s.spool("tmp", name), "")
	}
	if err := os.Chtimes(s.spool("tmp", "old"), old, old); err != nil {
		t.Fatal(err)
	}
	s.start()
	agenttest.Until(s, "the old file is gone", func() bool { return slices.Equal(s.list("tmp"), []string{"young"}) })
}

func TestOrder(t *testing.T) {
	s := newStage(t, "")
	s.put("incoming", "b.json", `{"payload":"<3>"}`, 500)
	s.put("incoming", "a.json", `{"payload":"<2>"}`, 500)
	s.put("incoming", "c.json", `{"payload":"<1>","recorded_at":9999999999}`, 499)
	s.put("incoming", "0.json", `{"payload":"<4>","recorded_at":0}`, 501)
	s.start()
	if got, want := agenttest.Names(s.drain()), []string{"1", "2", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("drained %q, want %q", got, want)
	}
}

func TestWrittenInPlace(t *testing.T) {
	s := newStage(t, "")
	s.start()
	halves := map[string]string{"slow.json": `{"payload":"<slow`, "never.json": `{"payload":"<never`}
	for name, half := range halves {
		agenttest.Write(s, s.spool("incoming", name), half)
	}
	// Written to again, it is fresh again, so that this is no race.
	soon := time.Now().Add(time.Second)
	linked := filepath.Join(s.Home, "linked")
	agenttest.Write(s, linked, `{"payload":"<linked>"}`)
	for _, path := range []string{linked, s.spool("incoming", "slow.json")} {
		if err := os.Chtimes(path, soon, soon); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Link(linked, s.spool("incoming", "linked.json")); err != nil {
		t.Fatal(err)
	}
	if got := s.drain(); got != "" {
		t.Errorf("unfinished drops: %q", got)
	}
	if err := os.Remove(linked); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(s.spool("incoming", "slow.json"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`er>"}`)
	f.Close()
	got := agenttest.Names(s.drain())
	if slices.Sort(got); !slices.Equal(got, []string{"linked", "slower"}) {
		t.Errorf("finished drops: %q", got)
	}
	agenttest.Until(s, "what is never finished is rejected", func() bool { return s.reason("never.json") != "" })
}

func TestRejects(t *testing.T) {
	s := newStage(t, "")
	s.start()
	secret := filepath.Join(s.Home, "secret")
	agenttest.Write(s, secret, `{"payload":"<secret>"}`)
	for name, make := range map[string]func(path string) error{
		"link.json": func(path string) error { return os.Symlink(secret, path) },
		"fifo.json": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"dir.json":  func(path string) error { return os.Mkdir(path, 0o700) },
		"huge.json": func(path string) error {
			agenttest.Write(s, path, "")
			return os.Truncate(path, 1<<40)
		},
		"foreign.json": func(path string) error {
			if os.Geteuid() != 0 {
				return os.Symlink(secret, path) // nobody else's file can be had
			}
			agenttest.Write(s, secret+"2", `{"payload":"<foreign>"}`)
			if err := os.Chown(secret+"2", 4242, 4242); err != nil {
				return err
			}
			return os.Rename(secret+"2", path)
		},
		"linked.json": func(path string) error {
			old := time.Now().Add(-time.Minute)
			if err := os.Chtimes(secret, old, old); err != nil {
				return err
			}
			return os.Link(secret, path)
		},
	} {
		if err := make(s.spool("incoming", name)); err != nil {
			t.Fatal(err)
		}
		if name == "huge.json" {
			// Not written at once: it may have been looked at while it was empty.
			agenttest.Until(s, "it is rejected", func() bool { return s.reason(name) != "" })
		}
		// One bad drop delays no other.
		s.drop("good")
		if got := agenttest.Names(s.drain()); !slices.Equal(got, []string{"good"}) {
			t.Errorf("beside %s: %q", name, got)
		}
		if _, err := os.Lstat(s.spool("rejected", name)); err != nil || s.reason(name) == "" {
			t.Errorf("%s: not rejected at once: %v", name, err)
		}
	}
	for i := range 110 {
		s.put("incoming", fmt.Sprintf("bad-%03d.json", i), "bad", i)
	}
	s.drain()
	if st := s.status(); st.Rejected != 100 || st.Ledger.Rejected != 116 {
		t.Errorf("of 116 rejects: %+v", st)
	}
	if s.reason("bad-109.json") == "" || s.reason("link.json") != "" {
		t.Error("not the newest rejects were kept")
	}
}

func TestCap(t *testing.T) {
	s := newStage(t, "cap = 3")
	s.put("incoming", "0.json", `bad, however old`, 0)
	for i := 1; i <= 5; i++ {
		s.put("incoming", fmt.Sprintf("%d.json", i), fmt.Sprintf(`{"payload":"<%d>"}`, i), i)
	}
	s.start()
	agenttest.Until(s, "all are folded", func() bool { return s.status().Incoming == 0 })
	s.put("incoming", "6.json", `{"payload":"<6>"}`, 6)
	// While the request waited, nothing would be evicted.
	agenttest.Until(s, "it is folded, too", func() bool { return s.status().Incoming == 0 })
	if got, want := agenttest.Names(s.drain()), []string{"4", "5", "6"}; !slices.Equal(got, want) {
		t.Errorf("drained %q, want %q", got, want)
	}
	if l := s.status().Ledger; l.Folded != 6 || l.Evicted != 3 || l.Rejected != 1 {
		t.Errorf("%+v", l)
	}
}

func TestRequests(t *testing.T) {
	s := newStage(t, "")
	s.start()
	longest := strings.Repeat("Az0_-678", 8)
	for _, bad := range []string{longest + "x", "a b", "a.b", "ä"} {
		s.put("control", bad+".drain", "", 0)
		agenttest.Until(s, "it is rejected: "+bad, func() bool { return s.reason(bad+".drain") != "" })
	}
	s.put("control", "none-of-ours", "", 0)
	for _, id := range []string{longest, "x"} {
		s.drop("for " + id)
		s.put("control", id+".drain", "nobody reads this\x00", 0)
		agenttest.Until(s, "the request is gone", func() bool { return len(s.control(".drain")) == 0 })
		// Now, and not only soon.
		data, err := os.ReadFile(s.spool("control", id+".signals"))
		if want := `{"recorded_at":1,"cwd":"/w","payload":"<for ` + id + `>"}` + "\n"; err != nil || string(data) != want {
			t.Errorf("%q, %v; want %q", data, err, want)
		}
	}
	s.put("control", "empty.drain", "", 0)
	agenttest.Until(s, "the request is gone", func() bool { return len(s.control(".drain")) == 0 })
	if data, err := os.ReadFile(s.spool("control", "empty.signals")); err != nil || len(data) > 0 {
		t.Errorf("of nothing: %q, %v", data, err)
	}
}

// A reply goes back when it is too old by its modification time, which a touch
// changes. (That an agent waits for that by itself, TestKilledOverReply shows.)
func TestReplyTTL(t *testing.T) {
	s := newStage(t, "cap = 3\nscan_interval = \"1s\"")
	touch := func(id string, age time.Duration) {
		t.Helper()
		at := time.Now().Add(-age)
		if err := os.Chtimes(s.spool("control", id+".signals"), at, at); err != nil {
			t.Fatal(err)
		}
	}
	agenttest.Write(s, s.spool("control", "touched.signals"), `{"recorded_at":1,"cwd":"/w","payload":"<kept>"}`+"\n")
	touch("touched", 11*time.Minute)
	touch("touched", 0)
	s.start()
	s.drop("1")
	s.drop("2")
	s.put("control", "unclaimed.drain", "", 0)
	agenttest.Until(s, "the request is gone", func() bool { return len(s.control(".drain")) == 0 })
	s.drop("3")
	s.drop("4")
	touch("unclaimed", 11*time.Minute)
	agenttest.Until(s, "it is back, and the oldest is evicted", func() bool {
		l := s.status().Ledger
		return l.Returned == 2 && l.Evicted == 1
	})
	if got, want := agenttest.Names(s.drain()), []string{"2", "3", "4"}; !slices.Equal(got, want) {
		t.Errorf("drained %q, want %q", got, want)
	}
	if data, err := os.ReadFile(s.spool("control", "touched.signals")); err != nil || !bytes.Contains(data, []byte("<kept>")) {
		t.Errorf("a reply that was touched: %q, %v", data, err)
	}
}

// Drops and requests wait for an agent, and agent drain needs none.
func TestNoAgent(t *testing.T) {
	s := newStage(t, "")
	s.drop("1")
	if got := agenttest.Names(s.must(s.Agent("drain", "--project", s.project), "")); !slices.Equal(got, []string{"1"}) {
		t.Errorf("agent drain without an agent: %q", got)
	}
	s.drop("2")
	s.put("control", "early.drain", "", 0)
	s.start()
	agenttest.Until(s, "the request is answered", func() bool { return len(s.control(".signals")) == 1 })
	if data, err := os.ReadFile(s.spool("control", "early.signals")); err != nil || !slices.Equal(agenttest.Names(string(data)), []string{"2"}) {
		t.Errorf("%q, %v", data, err)
	}
	s.drop("3")
	if got := agenttest.Names(s.must(s.Agent("drain", "--project", s.project), "")); !slices.Equal(got, []string{"3"}) {
		t.Errorf("agent drain beside an agent: %q", got)
	}
}

// The commands that the protocol gives for sharing the queue.
func TestQueueByFlock(t *testing.T) {
	text, err := os.ReadFile(protocol)
	if err != nil {
		t.Fatal(err)
	}
	share := func(command string) string {
		if !bytes.Contains(text, []byte("`"+command+"`")) {
			t.Fatalf("the protocol does not say %s", command)
		}
		return strings.ReplaceAll(command, "Q", ".spool/distill-pending.queue")
	}
	read, take := share("flock -s Q cat Q"), share("flock Q sh -c 'cat Q && : >Q'")
	s := newStage(t, "")
	s.start()
	sh := func(command string) string {
		cmd := s.Command("sh", "-c", command, ".spool/distill-pending.queue")
		cmd.Dir = s.project
		return s.must(cmd, "")
	}
	s.drop("1")
	agenttest.Until(s, "it is in the queue", func() bool { return s.status().Queued == 1 })
	const line1 = `{"recorded_at":1,"cwd":"/w","payload":"<1>"}` + "\n"
	if got := sh(read); got != line1 {
		t.Errorf("read %q", got)
	}
	if got := sh(take); got != line1 {
		t.Errorf("took %q", got)
	}
	if l := s.status().Ledger; l.External != -1 {
		t.Errorf("one was taken: %+v", l)
	}
	// A stranger's line without its end, a blank one, and one that is broken.
	line := func(n string) string { return `{"recorded_at":1,"cwd":"/w","payload":"<` + n + `>"}` }
	sh(fmt.Sprintf(`flock "$0" sh -c 'printf "\n\n%%s\n{broken\n%%s" "$1" "$2" >>"$0"' "$0" '%s' '%s'`, line("2"), line("3")))
	s.drop("4")
	if diff := cmp.Diff([]string{"2", "3", "4"}, agenttest.Names(s.drain())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if st := s.status(); st.Ledger.External != 1 || st.Rejected != 1 {
		t.Errorf("one was taken, two were added, and one is no signal: %+v", st)
	}
}

// A project that was registered by hand is served by an agent that is told of
// none, also one that runs already.
func TestRegistration(t *testing.T) {
	for _, c := range []struct{ xdg, state string }{
		{"HOME/elsewhere", "elsewhere/spool-agent"},
		{"not/absolute", ".local/state/spool-agent"},
		{"", ".local/state/spool-agent"},
	} {
		t.Run(c.xdg, func(t *testing.T) {
			s := newStage(t, "")
			s.Env = []string{"XDG_STATE_HOME=" + strings.ReplaceAll(c.xdg, "HOME", s.Home)}
			s.drop("one")
			register := func(name, content string) {
				dir := filepath.Join(s.Home, c.state, "projects")
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				agenttest.Write(s, filepath.Join(dir, "."+name), content)
				if err := os.Rename(filepath.Join(dir, "."+name), filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			s.Run()
			agenttest.Until(s, "it runs", func() bool { return s.Report().Running })
			register("any name", s.project+"\n")
			register("another", s.project)
			agenttest.Until(s, "it is served", func() bool { return s.status().State == "serving" })
			s.expect(languages[len(languages)-1], "one")
		})
	}
}
