package main

import (
	"fmt"
	"io"
	"regexp"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return printVersion(cmd.OutOrStdout()) },
	}
}

func printVersion(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s %s %s/%s %s\n", called(), version(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	return err
}

// version is what the Go command noted in the binary: the tag, or else the commit.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return short(info.Main.Version)
	}
	return "(unknown)"
}

// short is a version without what the Go command puts around a commit that has no
// tag, as in v0.0.0-20251123000000-0123456789ab.
func short(version string) string {
	return regexp.MustCompile(`^v.*[-.]\d{14}-([0-9a-f]{7})[0-9a-f]{5}`).ReplaceAllString(version, "$1")
}
