package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"spoolagent/spoolfiles"
)

func offCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "off [DIR]...",
		Short: "Have hooks store nothing in a project",
		Long: `Switches recording off in a project: hooks and 'agent drop' store nothing there,
and succeed. What waits can be drained. 'agent on' switches it on again. Without
DIR it is the project of the working directory; it gets a .spool.`,
		Example: `  agent off
  agent off ~/private`,
		ValidArgsFunction: directories,
		RunE: func(_ *cobra.Command, args []string) error {
			return o.switchRecording(args, true, spoolfiles.Create)
		},
	}
}

func onCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:               "on [DIR]...",
		Short:             "Undo off",
		Long:              `Undoes 'agent off': hooks and 'agent drop' store what they are given again.`,
		Example:           `  agent on ~/private`,
		ValidArgsFunction: directories,
		RunE: func(_ *cobra.Command, args []string) error {
			return o.switchRecording(args, false, spoolfiles.OpenExisting)
		},
	}
}

// switchRecording switches recording off or on in projects, as far as they have
// a spool that open opens.
func (o *options) switchRecording(args []string, off bool, open func(string) (*spoolfiles.Spool, error)) error {
	dirs, err := o.directories(args)
	if err != nil {
		return err
	}
	words := map[bool]string{true: "off", false: "on"}
	var errs []error
	for _, dir := range dirs {
		changed := false
		sp, err := open(dir)
		if err == nil {
			changed, err = sp.SetOff(off)
			sp.Close()
		} else if _, gone := os.Stat(dir); !off && gone == nil && errors.Is(err, fs.ErrNotExist) {
			err = nil // without a spool it is on
		}
		switch {
		case err != nil:
			errs = append(errs, err)
		case changed:
			fmt.Fprintf(os.Stderr, "recording is %s in %s\n", words[off], place(dir))
		default:
			fmt.Fprintf(os.Stderr, "recording was %s in %s\n", words[off], place(dir))
		}
	}
	return errors.Join(errs...)
}
