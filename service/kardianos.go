//go:build linux || darwin

package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	kardianos "github.com/kardianos/service"

	"spoolagent/internal/place"
)

// actWithin is longer than the definitions let an agent take to start or stop.
const actWithin = 2 * time.Minute

// unit is the user's service for kardianos/service, which has its definition
// in file as well.
type unit struct {
	kardianos.Service
	config *kardianos.Config
	file   string
}

// newUnit gives a template that takes a whole definition, since no template
// there can escape what may be in a path.
func newUnit(belowHome ...string) (*unit, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil, err
	}
	const template = "{{range Arguments}}{{.}}{{end}}"
	config := &kardianos.Config{
		Name:   Name,
		Option: kardianos.KeyValue{"UserService": true, "SystemdScript": template, "LaunchdConfig": template},
	}
	s, err := kardianos.New(nil, config)
	return &unit{s, config, filepath.Join(append([]string{home}, belowHome...)...)}, err
}

// bounded makes a call of kardianos/service, which knows no deadline. One that
// does not return in time is left behind: it ends with this process.
func bounded(ctx context.Context, call func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, actWithin, fmt.Errorf("the service manager has not done it within %s", actWithin))
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- call() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// define sees to it that this is the definition.
func (u *unit) define(ctx context.Context, definition string) (wrote string, err error) {
	there, err := place.Exists(u.file)
	if err != nil {
		return "", err
	}
	if !there {
		u.config.Arguments = []string{definition}
		err = bounded(ctx, u.Install)
		os.Chmod(u.file, 0o644) // launchd refuses what a group may write
	}
	// What Install says does not matter, but what it has left.
	wrote, failed := place.Replace(u.file, []byte(definition), 0o644)
	if there {
		return wrote, failed
	}
	if failed != nil {
		os.Remove(u.file)
		return "", errors.Join(err, failed)
	}
	return u.file, nil
}

// undefine removes the definition, if it is there, and what an installer that
// was killed has left beside it.
func (u *unit) undefine(ctx context.Context) error {
	os.Remove(place.Aside(u.file))
	there, err := place.Exists(u.file)
	if err == nil && there {
		err = bounded(ctx, u.Uninstall)
	}
	return err
}
