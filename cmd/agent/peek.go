package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	"spoolagent/spoolfiles/signal"

	"github.com/spf13/cobra"
)

func peekCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "peek",
		Short: "Print the queue, and leave it as it is",
		Long: `Prints the signals of the queue as JSON Lines, oldest first, and changes nothing.
Lines of the queue that are no signals are named on standard error. Drops that
have not been folded yet are not in the queue.`,
		Example: `  agent peek | jq -r .payload`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			sp, q, err := o.lookAtQueue()
			if sp == nil {
				return err
			}
			defer sp.Close()
			out := bufio.NewWriter(os.Stdout)
			var line []byte
			each := func(s signal.Signal) error {
				line = append(s.AppendLine(line[:0]), '\n')
				_, err := out.Write(line)
				return err
			}
			malformed := func(n int, err error) {
				complain(fmt.Errorf("warning: line %d of the queue is no signal: %w", n, err))
			}
			return errors.Join(q.Peek(cmd.Context(), each, malformed), out.Flush())
		},
	}
}
