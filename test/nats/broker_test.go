//go:build unix

package nats

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// patience is for the broker, and for its publishers.
const patience = 2 * time.Minute

const (
	streamName = "SIGNALS"
	subject    = "signals.work"
)

// newBroker starts a broker.
func newBroker(t *testing.T) (url string) {
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: t.TempDir(),
		NoLog: true, NoSigs: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the broker does not start")
	}
	return s.ClientURL()
}

func connect(t *testing.T, url string) jetstream.JetStream {
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// publish publishes all whole lines, each under its id, and returns how many
// the broker knew already. Half a line, which a follower that was killed leaves
// in a pipe, is none.
func publish(ctx context.Context, js jetstream.JetStream, lines io.Reader, each func() error) (repeats int, err error) {
	for in := bufio.NewReader(lines); ; {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return repeats, nil
		}
		if err != nil {
			return repeats, err
		}
		var signal struct{ ID string }
		if err := json.Unmarshal(line, &signal); err != nil || signal.ID == "" {
			return repeats, fmt.Errorf("no id in %q: %v", line, err)
		}
		ack, err := js.Publish(ctx, subject, line, jetstream.WithMsgID(signal.ID))
		if err != nil {
			return repeats, err
		}
		if ack.Duplicate {
			repeats++
		}
		if err := each(); err != nil {
			return repeats, err
		}
	}
}

// What tells the test's program that it is to be the publisher.
const (
	urlVariable  = "SPOOL_TEST_BROKER"
	workVariable = "SPOOL_TEST_WORK" // a directory: repeats are counted in it
)

func TestMain(m *testing.M) {
	if url := os.Getenv(urlVariable); url != "" {
		if err := publisher(url, os.Getenv(workVariable)); err != nil {
			fmt.Fprintln(os.Stderr, "publisher:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// publisher is the command that gets the batches. Some of its lives end by
// SIGKILL, after a message of the batch has been published.
func publisher(url, work string) error {
	nc, err := nats.Connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	repeats, err := publish(ctx, js, os.Stdin, func() error {
		// Whoever finds a death certificate dies.
		if err := os.Remove(work + "/die"); errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	})
	if err != nil {
		return err
	}
	f, err := os.OpenFile(work+"/repeats", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, repeats)
	return errors.Join(err, f.Close())
}
