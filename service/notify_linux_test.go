package service

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

func TestTell(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "3000000")
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))

	if got := AliveEvery(); got != 1500*time.Millisecond {
		t.Errorf("alive every %s", got)
	}
	for _, step := range []struct{ told, want string }{
		{"READY=1", `^READY=1$`},
		{"STATUS=serving 3 projects\nREADY=1", `^STATUS=serving 3 projects READY=1$`},
		{"RELOADING=1", `^RELOADING=1\nMONOTONIC_USEC=[0-9]+\n$`},
		{"WATCHDOG=1", `^WATCHDOG=1$`},
		{"STOPPING=1", `^STOPPING=1$`},
	} {
		Tell(step.told)
		message := make([]byte, 1000)
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		got, err := conn.Read(message)
		if err != nil {
			t.Fatal(err)
		}
		if !regexp.MustCompile(step.want).Match(message[:got]) {
			t.Errorf("sent %q, want %s", message[:got], step.want)
		}
	}
}

func TestTellNobody(t *testing.T) {
	for _, env := range []map[string]string{
		{},
		{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "gone"), "WATCHDOG_USEC": "nonsense"},
		{"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"},
	} {
		for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
			t.Setenv(name, env[name])
		}
		if AliveEvery() != 0 {
			t.Errorf("watched with %v", env)
		}
		Tell("READY=1")
	}
}
