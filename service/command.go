//go:build linux || darwin || windows

package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// askWithin is how long a manager's command may take that only asks, or tells
// it something. Starting and stopping have limits of their own.
const askWithin = 20 * time.Second

// command runs a manager's command and returns what it prints. Its error says
// what the command complained of.
func command(ctx context.Context, within time.Duration, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	said := firstLine(complaint.String())
	if said == "" {
		said = firstLine(out.String())
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return out.String(), fmt.Errorf("%s did not answer within %s", name, within)
	case ctx.Err() != nil:
		return out.String(), ctx.Err()
	case said != "":
		return out.String(), fmt.Errorf("%s: %s", name, said)
	}
	return out.String(), fmt.Errorf("%s: %w", name, err)
}

// firstLine is the first line of a program's words that says anything.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line != "" {
			return line
		}
	}
	return ""
}
