//go:build linux

package bench

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"spoolagent/internal/agenttest"
)

// originalEnv names a directory in which one file, *.txt, has the text of the
// original's queue module as a page shows it that numbers the lines. It is not
// ours, and so not here.
const originalEnv = "SPOOL_ORIGINAL"

// debianCrates is where Debian's librust packages put their crates.
const debianCrates = "/usr/share/cargo/registry"

// originalMain appends an event to the queue of its working directory, as the
// original's hook does. With the argument "drain" it prints what it drains.
//
//go:embed testdata/original.rs
var originalMain string

const originalManifest = `[package]
name = "original"
version = "0.0.0"
edition = "2021"

[dependencies]
anyhow = "1"
fs2 = "0.4"
serde = { version = "1", features = ["derive"] }
serde_json = "1"

[profile.release]
strip = true
`

// buildOriginal builds the program that we stand beside, in a temporary
// directory, and returns its path. The error says how to get it.
func buildOriginal(b *testing.B) (string, error) {
	from := os.Getenv(originalEnv)
	if from == "" {
		return "", errors.New(originalEnv + " has to name a directory with the text of its queue module (*.txt, with line numbers)")
	}
	if _, err := exec.LookPath("cargo"); err != nil {
		return "", errors.New("that needs cargo, with the crates anyhow, fs2, serde and serde_json (Debian: librust-*-dev)")
	}
	files, err := filepath.Glob(filepath.Join(from, "*.txt"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("%s has %d files *.txt, want 1", from, len(files))
	}
	dir := b.TempDir()
	agenttest.Mkdir(b, dir, "src")
	agenttest.Write(b, filepath.Join(dir, "Cargo.toml"), originalManifest)
	agenttest.Write(b, filepath.Join(dir, "src", "main.rs"), originalMain)
	agenttest.Write(b, filepath.Join(dir, "src", "queue.rs"), unnumbered(agenttest.Read(b, files[0])))
	args := []string{"build", "--release", "--quiet", "--target-dir", filepath.Join(dir, "target")}
	if _, err := os.Stat(debianCrates); err == nil {
		args = append(args, "--offline", "--config", `source.crates-io.replace-with="debian"`,
			"--config", fmt.Sprintf("source.debian.directory=%q", debianCrates))
	}
	cmd := exec.Command("cargo", args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cargo build: %w\n%s", err, out)
	}
	return filepath.Join(dir, "target", "release", "original"), nil
}

// unnumbered returns the lines of a page that begin with their number, without it.
func unnumbered(page string) string {
	var text strings.Builder
	n := 1
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, strconv.Itoa(n)); ok {
			text.WriteString(rest)
			n++
		}
	}
	return text.String()
}
