package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

// minInterval keeps a slip of the finger from occupying a processor.
const minInterval = 50 * time.Millisecond

// resizeInterval is how often a terminal is asked whether its size has changed.
// There is a signal for that, but not on every system.
const resizeInterval = 100 * time.Millisecond

// watch shows one report after another until ctx ends or it is interrupted. Its
// error has the exit status of the last one.
func (o *options) watch(ctx context.Context, interval time.Duration, show func(*statusReport) error, resized func() error) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	next := time.NewTicker(interval)
	defer next.Stop()
	resizes := time.NewTicker(resizeInterval)
	defer resizes.Stop()
	var last *statusReport
	for {
		s, err := o.status(ctx)
		switch {
		case ctx.Err() != nil && last != nil:
			return last.exit()
		case err != nil:
			return err
		}
		last = s
		if err := show(s); err != nil {
			return err
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return last.exit()
			case <-next.C:
				waiting = false
			case <-resizes.C:
				if err := resized(); err != nil {
					return err
				}
			}
		}
	}
}

// screen shows reports in place. It has a page of the terminal to itself, and
// gives back the one that was there.
type screen struct {
	f             *os.File
	width, height int
	report        *statusReport
	at            time.Time // when it was made
}

// The terminal cuts lines that are too long; the cursor is hidden.
const (
	screenBegin = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	screenEnd   = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

func openScreen(f *os.File) (*screen, error) {
	_, err := f.WriteString(screenBegin)
	return &screen{f: f}, err
}

func (s *screen) close() { s.f.WriteString(screenEnd) }

func (s *screen) show(r *statusReport) error {
	s.report, s.at = r, time.Now()
	s.width, s.height = sizeOf(s.f)
	return s.draw()
}

func (s *screen) resized() error {
	if w, h := sizeOf(s.f); w != s.width || h != s.height {
		s.width, s.height = w, h
		return s.draw()
	}
	return nil
}

// draw writes over what is there, all at once, so that nothing flickers.
func (s *screen) draw() error {
	v := viewOf(s.report, s.width, painter(inColour(s.f)), s.at)
	const restOfLine, restOfScreen = "\x1b[K", "\x1b[J"
	text := strings.Join(v.cut(s.height), restOfLine+"\r\n")
	_, err := s.f.WriteString("\x1b[H" + text + restOfLine + restOfScreen)
	return err
}

// sizeOf is the size of a terminal in characters; of what is none, or does not
// tell, the width is 0: no limit.
func sizeOf(f *os.File) (width, height int) {
	if !onTerminal(f) {
		return 0, 0
	}
	width, height, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		return 0, 24
	}
	return width, height
}
