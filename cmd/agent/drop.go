package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"spoolagent/configs"
	"spoolagent/spoolfiles"
	"spoolagent/spoolfiles/signal"
)

func dropCommand(o *options) *cobra.Command {
	var tool, payload string
	var hook bool
	cmd := &cobra.Command{
		Use:   "drop [--tool NAME] [--payload TEXT] [--hook]",
		Short: "Leave one drop for the agent to fold",
		Long: `Leaves one drop in the project's spool, which is made if there is none. It waits
for nobody; an agent need not run. A project's first drop also registers it, as
'agent add' does. Where recording is off, it stores nothing and succeeds.

With --tool or --payload the drop is a signal made of them. Without, standard
input is the drop, as it comes: a signal, or the event that an AI tool hands to
its hook.

With --hook, whatever happens, the exit status is 0 and nothing is printed to
standard output.`,
		Example: `  agent drop --tool me --payload 'prefer table tests here'
  agent drop --hook <event.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			project, err := o.project()
			if err != nil {
				return err
			}
			if !utf8.ValidString(tool + " " + payload) {
				return usage("--tool and --payload must be UTF-8 text")
			}
			var s signal.Signal
			if cmd.Flags().Changed("tool") {
				s.ToolName = &tool
			}
			if cmd.Flags().Changed("payload") {
				s.Payload = &payload
			}
			if s.ToolName != nil || s.Payload != nil {
				err = dropSignal(project, s)
			} else {
				err = dropInput(project, o, hook)
			}
			if errors.Is(err, spoolfiles.ErrOff) {
				if !hook {
					fmt.Fprintf(os.Stderr, "nothing is stored: recording is off in %s\n", place(project))
				}
				err = nil
			}
			return err
		},
	}
	cmd.Flags().StringVar(&tool, "tool", "", "the signal's tool is `NAME`")
	cmd.Flags().StringVar(&payload, "payload", "", "the signal's payload is `TEXT`")
	cmd.Flags().BoolVar(&hook, "hook", false, "exit with 0 and without output, whatever happens")
	return cmd
}

func dropSignal(project string, s signal.Signal) error {
	wd, err := os.Getwd()
	if err != nil {
		return err
	}
	s.RecordedAt, s.CWD = uint64(time.Now().Unix()), wd
	return store(project, s.AppendLine(nil))
}

// dropInput drops standard input. That the configuration is refused is no
// reason to lose it. A person is told if the agent will reject it.
func dropInput(project string, o *options, hook bool) error {
	c, err := o.load()
	if err != nil {
		c = configs.Default()
	}
	limit := int64(c.MaxDrop)
	data, err := io.ReadAll(io.LimitReader(os.Stdin, limit+1))
	switch {
	case err != nil:
		return fmt.Errorf("reading the drop: %w", err)
	case len(data) == 0:
		return errors.New("standard input is empty; give it the drop, or use --tool and --payload")
	case int64(len(data)) > limit:
		return fmt.Errorf("the drop has more than %d bytes, which is the limit (max_drop in the configuration)", limit)
	}
	if _, err := signal.DecodeDrop(data, signal.Origin{}); err != nil && !hook {
		complain(fmt.Errorf("warning: the agent will reject this drop: %w", err))
	}
	return store(project, data)
}

// store leaves the drop, and if it is the spool's first, registers the project.
// That this fails is not the drop's loss.
func store(project string, data []byte) error {
	sp, err := spoolfiles.OpenToDrop(project)
	if err != nil {
		return err
	}
	defer sp.Close()
	if _, err := sp.Drop(data); err != nil {
		return err
	}
	reg, err := projectRegistry()
	if err == nil {
		_, err = reg.AddSpool(sp, true)
	}
	if err != nil {
		complain(fmt.Errorf("the drop is stored, but: %w", err))
	}
	return nil
}
