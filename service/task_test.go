package service

import (
	"encoding/xml"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// element is an element of XML with all that is in it.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Text     string     `xml:",chardata"`
	Elements []element  `xml:",any"`
}

const taskNamespace = "http://schemas.microsoft.com/windows/2004/02/mit/task"

// A kind is what the schema of the Task Scheduler says of an element: its text,
// or the elements that it may have, each once and in any order. Those with a
// star must be there. The schema is at
// https://learn.microsoft.com/windows/win32/taskschd/task-scheduler-schema.
type kind struct {
	text     string
	elements string
	attrs    map[string]string // of which all may be missing
}

const (
	truth    = `true|false|0|1`
	duration = `P(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?`
	name     = `(?s).+`
)

var taskSchema = map[string]kind{
	"Task": {
		elements: "RegistrationInfo Triggers Settings Data Principals Actions*",
		attrs:    map[string]string{"version": `1\.3`, "xmlns": regexp.QuoteMeta(taskNamespace)},
	},
	"RegistrationInfo": {elements: "URI SecurityDescriptor Source Date Author Version Description Documentation"},
	"Description":      {text: `(?s).*`},
	"Triggers":         {elements: "BootTrigger RegistrationTrigger IdleTrigger TimeTrigger EventTrigger LogonTrigger SessionStateChangeTrigger CalendarTrigger"},
	"LogonTrigger":     {elements: "Enabled StartBoundary EndBoundary Repetition ExecutionTimeLimit UserId Delay", attrs: map[string]string{"id": name}},
	"UserId":           {text: name},
	"Principals":       {elements: "Principal*"},
	"Principal": {
		elements: "UserId LogonType GroupId DisplayName RunLevel ProcessTokenSidType RequiredPrivileges",
		attrs:    map[string]string{"id": name},
	},
	"LogonType": {text: `S4U|Password|InteractiveToken|InteractiveTokenOrPassword`},
	"Settings": {elements: "AllowStartOnDemand RestartOnFailure MultipleInstancesPolicy DisallowStartIfOnBatteries StopIfGoingOnBatteries " +
		"AllowHardTerminate StartWhenAvailable NetworkProfileName RunOnlyIfNetworkAvailable WakeToRun Enabled Hidden DeleteExpiredTaskAfter " +
		"IdleSettings NetworkSettings ExecutionTimeLimit Priority RunOnlyIfIdle UseUnifiedSchedulingEngine DisallowStartOnRemoteAppSession"},
	"DisallowStartIfOnBatteries": {text: truth},
	"StopIfGoingOnBatteries":     {text: truth},
	"Hidden":                     {text: truth},
	"ExecutionTimeLimit":         {text: duration},
	"RestartOnFailure":           {elements: "Interval* Count*"},
	"Interval":                   {text: `PT[1-9]\d*[HM]`}, // at least a minute
	"Count":                      {text: `[1-9]\d?|1\d\d|2[0-4]\d|25[0-5]`},
	"Actions":                    {elements: "Exec* ComHandler SendEmail ShowMessage", attrs: map[string]string{"Context": name}},
	"Exec":                       {elements: "Command* Arguments WorkingDirectory", attrs: map[string]string{"id": name}},
	"Command":                    {text: `.{1,260}`},
	"Arguments":                  {text: `(?s).*`},
}

// invalid says what is wrong with an element by the schema.
func invalid(e element) error {
	name := e.XMLName.Local
	k, known := taskSchema[name]
	whole := func(pattern, text string) bool { return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(text) }
	switch {
	case !known:
		return fmt.Errorf("no element is called %s", name)
	case e.XMLName.Space != taskNamespace:
		return fmt.Errorf("%s is of another namespace, %q", name, e.XMLName.Space)
	case k.elements == "" && !whole(k.text, e.Text):
		return fmt.Errorf("%s cannot be %q", name, e.Text)
	case k.elements != "" && strings.TrimSpace(e.Text) != "":
		return fmt.Errorf("%s has the text %q", name, e.Text)
	}
	for _, a := range e.Attrs {
		if pattern, known := k.attrs[a.Name.Local]; !known || !whole(pattern, a.Value) {
			return fmt.Errorf("%s cannot have %s=%q", name, a.Name.Local, a.Value)
		}
	}
	allowed := strings.Fields(k.elements)
	for _, inner := range e.Elements {
		name := inner.XMLName.Local
		i := slices.IndexFunc(allowed, func(s string) bool { return strings.TrimSuffix(s, "*") == name })
		if i < 0 {
			return fmt.Errorf("%s cannot have %s, or not twice", e.XMLName.Local, name)
		}
		allowed = slices.Delete(allowed, i, i+1)
		if err := invalid(inner); err != nil {
			return err
		}
	}
	for _, missing := range allowed {
		if strings.HasSuffix(missing, "*") {
			return fmt.Errorf("%s has no %s", name, missing)
		}
	}
	return nil
}

// checkTask parses a task and checks it by the schema.
func checkTask(text string) (task element, err error) {
	d := xml.NewDecoder(strings.NewReader(text))
	d.CharsetReader = func(_ string, r io.Reader) (io.Reader, error) { return r, nil } // it is a string by now
	if err := d.Decode(&task); err != nil {
		return task, err
	}
	return task, invalid(task)
}

// find is the element below e by its path.
func find(t *testing.T, e element, path ...string) element {
	t.Helper()
	for _, name := range path {
		i := slices.IndexFunc(e.Elements, func(inner element) bool { return inner.XMLName.Local == name })
		if i < 0 {
			t.Fatalf("%s has no %s", e.XMLName.Local, name)
		}
		e = e.Elements[i]
	}
	return e
}

func TestTask(t *testing.T) {
	const user = `PC\jo & co`
	text, err := taskXML(forTasks(odd), user, strconv.Quote)
	if err != nil {
		t.Fatal(err)
	}
	task, err := checkTask(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range [][]string{{"Triggers", "LogonTrigger", "UserId"}, {"Principals", "Principal", "UserId"}} {
		if got := find(t, task, path...).Text; got != user {
			t.Errorf("%v is %q", path, got)
		}
	}
	want := `--headless "` + odd.Binary + `"`
	for _, arg := range odd.Args {
		want += " " + strconv.Quote(arg)
	}
	if got := find(t, task, "Actions", "Exec", "Arguments").Text; got != want {
		t.Errorf("the task runs conhost %s, want %s", got, want)
	}
	runs, principal := find(t, task, "Actions").Attrs[0].Value, find(t, task, "Principals", "Principal").Attrs[0].Value
	if runs != principal {
		t.Errorf("it runs as %s, and its principal is %s", runs, principal)
	}

	// The check finds what the scheduler would refuse.
	for _, change := range [][2]string{
		{"/2004/02/mit/task", "/2003/02/mit/task"},
		{`version="1.3"`, `version="1.5"`},
		{"LogonTrigger>", "LoginTrigger>"},
		{"<Hidden>true</Hidden>", "<Hidden>yes</Hidden>"},
		{"<Hidden>true</Hidden>", "<Hidden>true</Hidden><Hidden>true</Hidden>"},
		{"<Count>255</Count>", "<Count>256</Count>"},
		{"<Count>255</Count>", ""},
		{"PT0S", "0"},
		{"PT1M", "PT30S"},
		{"Command>", "Program>"},
		{"InteractiveToken", "Interactive"},
		{"</Task>", ""},
	} {
		wrong := strings.ReplaceAll(text, change[0], change[1])
		if _, err := checkTask(wrong); wrong == text || err == nil {
			t.Errorf("%s instead of %s is not found", change[1], change[0])
		}
	}
}
