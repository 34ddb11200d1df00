//go:build !linux

package agent

import "time"

func newTicker(every time.Duration) ticker { return newPlainTicker(every) }
