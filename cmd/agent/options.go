package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"spoolagent/agent"
	"spoolagent/configs"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// options are the flags that all commands have.
type options struct {
	projects []string
	config   string
	logLevel level
	version  bool
}

func (o *options) addTo(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringArrayVar(&o.projects, "project", nil, "the project is `DIR`; for run, may be repeated")
	flags.StringVar(&o.config, "config", "", "the configuration is `FILE`")
	flags.Var(&o.logLevel, "log-level", "log from `LEVEL` on: trace, debug, info, warn or error")
	root.Flags().BoolVar(&o.version, "version", false, "print the version")

	root.MarkPersistentFlagDirname("project")
	root.MarkPersistentFlagFilename("config", "toml")
	root.RegisterFlagCompletionFunc("log-level",
		cobra.FixedCompletions([]string{"trace", "debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
}

// level is the value of --log-level; empty if it was not given.
type level string

func (l *level) String() string { return string(*l) }
func (l *level) Type() string   { return "level" }

func (l *level) Set(s string) error {
	switch s {
	case "trace", "debug", "info", "warn", "error":
		*l = level(s)
		return nil
	}
	return errors.New("must be trace, debug, info, warn or error")
}

// project is the project of a command that takes one: absolute, and there.
func (o *options) project() (string, error) {
	if err := o.atMostOne(); err != nil {
		return "", err
	}
	if len(o.projects) == 0 {
		start, err := spoolfiles.Start()
		if err != nil {
			return "", fmt.Errorf("finding the project: %w; say which with --project DIR", err)
		}
		return spoolfiles.Find(start), nil
	}
	dirs, err := o.given()
	if err != nil {
		return "", err
	}
	if fi, err := os.Stat(dirs[0]); err != nil {
		return "", fmt.Errorf("project: %w", err)
	} else if !fi.IsDir() {
		return "", fmt.Errorf("project %s: is not a directory", dirs[0])
	}
	return dirs[0], nil
}

func (o *options) atMostOne() error {
	if n := len(o.projects); n > 1 {
		return usage("--project is given %d times; only run takes more than one project", n)
	}
	return nil
}

// given are the directories of --project, absolute.
func (o *options) given() ([]string, error) {
	var dirs []string
	for _, p := range o.projects {
		if p == "" {
			return nil, usage("--project: the directory's name is empty")
		}
		dir, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("project %s: %w", p, err)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// directories are the projects of a command that takes several as arguments:
// absolute. Without any it is the project as all commands take it.
func (o *options) directories(args []string) ([]string, error) {
	if len(args) == 0 {
		dir, err := o.project()
		return []string{dir}, err
	}
	if len(o.projects) > 0 {
		return nil, usage("the project is named twice: by --project and by %s", safe(args[0]))
	}
	return (&options{projects: args}).given()
}

// directories completes names of directories.
func directories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// configured are the projects that a configuration names now.
func configured(c configs.Config) []string {
	all := slices.Clone(c.Projects)
	for _, p := range c.Patterns {
		all = append(all, agent.Expand(p)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// load reads the configuration. Only a file that was asked for must be there.
func (o *options) load() (configs.Config, error) {
	if o.config != "" {
		c, err := configs.Load(o.config)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; 'agent print config' prints one to begin with", err)
		}
		return c, err
	}
	path, err := configFile()
	if err != nil {
		return configs.Config{}, fmt.Errorf("finding the configuration: %w; say where it is with --config FILE", err)
	}
	c, err := configs.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return configs.Default(), nil
	}
	return c, err
}

// logLevelOf is the level that a configuration or, before it, the flag asks for.
func (o *options) logLevelOf(c configs.Config) (zerolog.Level, error) {
	name := string(o.logLevel)
	if name == "" {
		name = c.LogLevel
	}
	return zerolog.ParseLevel(name)
}

func queueOptions(c configs.Config) queue.Options {
	return queue.Options{
		Cap:        c.Cap,
		MaxDrop:    int64(c.MaxDrop),
		MaxPayload: int(c.MaxPayload),
		ReplyTTL:   time.Duration(c.ReplyTTL),
		Fsync:      c.Fsync,
	}
}

// openQueue opens the spool of the command's project, and its queue. Both are
// nil if the project has no spool.
func (o *options) openQueue() (*spoolfiles.Spool, *queue.Queue, error) {
	return o.queueBy(spoolfiles.Open)
}

// lookAtQueue is openQueue for one who only reads.
func (o *options) lookAtQueue() (*spoolfiles.Spool, *queue.Queue, error) {
	return o.queueBy(spoolfiles.OpenExisting)
}

func (o *options) queueBy(open func(project string) (*spoolfiles.Spool, error)) (*spoolfiles.Spool, *queue.Queue, error) {
	project, err := o.project()
	if err != nil {
		return nil, nil, err
	}
	c, err := o.load()
	if err != nil {
		return nil, nil, err
	}
	sp, err := open(project)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return sp, queue.New(sp, queueOptions(c), nil), nil
}
