//go:build linux && clients

package clients

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// modules is where npm installs.
var modules string

func TestMain(m *testing.M) {
	if err := install("npm"); err != nil {
		fmt.Fprintf(os.Stderr, "installing the clients: %v\n", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// install has npm install what package-lock.json says in a directory, unless it
// has. No script of a package is run: they would only move programs.
//
// "npm ci" would not do: it takes no lock in which packages for other systems
// are missing, and a registry need not have them.
func install(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	modules = filepath.Join(dir, "node_modules")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	same := true
	for _, name := range []string{"package.json", "package-lock.json"} {
		want, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if got, err := os.ReadFile(filepath.Join(dir, name+".done")); err != nil || string(got) != string(want) {
			same = false
		}
		if err := os.WriteFile(filepath.Join(dir, name), want, 0o644); err != nil {
			return err
		}
	}
	if same {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("this needs npm, and a registry that it reaches: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm install, which needs a registry: %w\n%.2000s", err, out)
	}
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".done"), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
