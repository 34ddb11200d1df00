package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"spoolagent/agent"
	"spoolagent/agent/registry"
	"spoolagent/configs"
	"spoolagent/queue"
	"spoolagent/spoolfiles"
)

// options are the flags that all commands have.
type options struct {
	projects []string
	config   string
	logLevel string
}

func (o *options) addTo(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringArrayVar(&o.projects, "project", nil, "the project is `DIR`; for run, may be repeated")
	flags.StringVar(&o.config, "config", "", "the configuration is `FILE`")
	flags.StringVar(&o.logLevel, "log-level", "", "log from `LEVEL` on: "+strings.Join(configs.Levels, ", "))

	root.MarkPersistentFlagDirname("project")
	root.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions(configs.Levels, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses what no flag's type does.
func (o *options) check(cmd *cobra.Command) error {
	if n := len(o.projects); n > 1 && cmd.Name() != "run" {
		return usage("--project is given %d times; only run takes more than one project", n)
	}
	if len(o.projects) > 0 && cmd.Parent() == cmd.Root() && slices.Contains([]string{"setup", "install", "list"}, cmd.Name()) {
		return usage("%s takes no --project, since it is about all; 'agent add DIR' has one served", cmd.Name())
	}
	if o.logLevel != "" && !slices.Contains(configs.Levels, o.logLevel) {
		return usage("--log-level must be one of %s", strings.Join(configs.Levels, ", "))
	}
	return nil
}

// project is the project of a command that takes one: absolute, and there.
func (o *options) project() (string, error) {
	if len(o.projects) == 0 {
		start, err := spoolfiles.Start()
		if err != nil {
			return "", fmt.Errorf("finding the project: %w; say which with --project DIR", err)
		}
		return spoolfiles.Find(start), nil
	}
	dirs, err := absolute(o.projects)
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
	return absolute(args)
}

func absolute(names []string) (dirs []string, err error) {
	for _, name := range names {
		if name == "" {
			return nil, usage("the directory's name is empty")
		}
		dir, err := filepath.Abs(name)
		if err != nil {
			return nil, fmt.Errorf("project %s: %w", name, err)
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// load reads the configuration. Only a file that was asked for must be there.
func (o *options) load() (configs.Config, error) {
	path := o.config
	if path == "" {
		dir, err := userDir("XDG_CONFIG_HOME", ".config")
		if err != nil {
			return configs.Config{}, fmt.Errorf("finding the configuration: %w; say where it is with --config FILE", err)
		}
		path = filepath.Join(dir, "spool-agent", "config.toml")
	}
	c, err := configs.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		if o.config == "" {
			return configs.Default(), nil
		}
		err = fmt.Errorf("%w; 'agent print config' prints one to begin with", err)
	}
	return c, err
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

// openQueue opens the spool of the command's project, and its queue. If the
// project has no spool, it says so, and both are nil.
func (o *options) openQueue(open func(project string) (*spoolfiles.Spool, error)) (*spoolfiles.Spool, *queue.Queue, error) {
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
		fmt.Fprintf(os.Stderr, "no signals: %s has no .spool; another project is --project DIR\n", place(project))
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return sp, queue.New(sp, queueOptions(c), nil), nil
}

// The places are found when they are needed, and by hand: the usual library
// looks for all of them, and reads a file, whenever a program starts, which is
// a tenth of what a drop costs.

// userDir is the directory that an environment variable of the XDG base
// directory specification names, else its default below the home directory. A
// relative path does not count, says the specification.
func userDir(variable, fallback string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("%w; set it, or %s", err, variable)
	}
	return filepath.Join(home, fallback), nil
}

// stateDir is where agents of this user say that they run.
func stateDir() (string, error) {
	dir, err := userDir("XDG_STATE_HOME", ".local/state")
	return filepath.Join(dir, "spool-agent"), err
}

// userAgent is the process of the agent that serves all projects of this user; 0
// if none runs.
func userAgent() int {
	state, err := stateDir()
	h, running, uerr := agent.User(state)
	if err != nil || uerr != nil || !running {
		return 0
	}
	return h.PID
}

// projectRegistry is where projects are registered: below the home directory, which
// all shells and hooks know, and not where a variable says that only some have.
func projectRegistry() (registry.Registry, error) {
	state, err := stateDir()
	r := registry.Registry{Dir: filepath.Join(state, registry.DirName)}
	if home, herr := os.UserHomeDir(); herr == nil && filepath.IsAbs(home) {
		r.Old, r.Dir = r.Dir, filepath.Join(home, ".local", "state", "spool-agent", registry.DirName)
	}
	return r, err
}

// listed are the projects that are registered or configured, sorted. The error is
// of files in the registry that name none.
func listed(c configs.Config, r registry.Registry) (projects []string, err error) {
	registered, err := r.List()
	for _, e := range registered {
		err = errors.Join(err, e.Err)
		if e.Err == nil {
			projects = append(projects, e.Path)
		}
	}
	projects = append(projects, configured(c)...)
	slices.Sort(projects)
	return slices.Compact(projects), err
}

// configured are the projects that a configuration names now.
func configured(c configs.Config) []string {
	all := slices.Clone(c.Projects)
	for _, p := range c.Patterns {
		all = append(all, agent.Expand(p)...)
	}
	return all
}
