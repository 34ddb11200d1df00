//go:build linux || darwin

package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	kardianos "github.com/kardianos/service"

	"spoolagent/internal/patience"
	"spoolagent/internal/place"
)

// actWithin limits a call. It is longer than an agent may take to start or stop
// by its definition.
const actWithin = 2 * time.Minute

// unit is the user's service as kardianos/service knows it, and the file of its
// definition.
type unit struct {
	kardianos.Service
	config *kardianos.Config
	file   string
}

// newUnit returns a unit whose template is no more than its argument, which is
// then the whole definition: no template there can escape what may be in a path.
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

// withinLimit makes a call of kardianos/service, which has no deadlines. A call
// that does not return in time is left behind: it ends with this process.
func withinLimit(ctx context.Context, call func() error) error {
	err, ok := patience.Within(ctx, actWithin, func(context.Context) error { return call() })
	if !ok {
		return cmp.Or(context.Cause(ctx), fmt.Errorf("the service manager has not done it within %s", actWithin))
	}
	return err
}

// define makes this the definition.
func (u *unit) define(ctx context.Context, definition string) (wrote string, err error) {
	there, err := place.Exists(u.file)
	if err != nil {
		return "", err
	}
	if !there {
		u.config.Arguments = []string{definition}
		err = withinLimit(ctx, u.Install)
		os.Chmod(u.file, 0o644) // launchd refuses what a group may write
	}
	// What Install has left matters, not what it returned.
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

// undefine removes the definition, if there is one, and what an install that
// was killed has left beside it.
func (u *unit) undefine(ctx context.Context) error {
	os.Remove(place.Aside(u.file))
	there, err := place.Exists(u.file)
	if err == nil && there {
		err = withinLimit(ctx, u.Uninstall)
	}
	return err
}
