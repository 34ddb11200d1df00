package doctor

import (
	"fmt"
	"os"
)

// What serving a project takes, and the agent besides.
const (
	watchesEach     = 3
	watchesMore     = 16 // the registry, and some directories of patterns
	descriptorsEach = 6
	descriptorsMore = 32
)

// unknown is a limit that the system does not tell.
const unknown = -1

// usage is what a user's processes have taken of what the system limits.
type usage struct {
	watches, maxWatches     int
	instances, maxInstances int
	agentWatches            int // of watches, the agent's
	agentDescriptors        int // the agent's limit; this program's if there is no agent
}

func (d *diagnosis) checkLimits() {
	u, ok := used(d.server)
	if !ok {
		d.add("limits.watches", Skipped, "", "this system does not tell")
		return
	}
	n := len(d.facts.Projects)
	if d.server != nil {
		n = max(n, len(d.server.Projects))
	}

	need := watchesEach*n + watchesMore
	others := u.watches - u.agentWatches
	detail := fmt.Sprintf("%s %d of %d inotify watches; other programs of this user have %d", count(n, "project takes", "projects take"), watchesEach*n, u.maxWatches, others)
	switch {
	case u.maxWatches == unknown:
		d.add("limits.watches", Skipped, "", "this system does not tell")
	case others+need > u.maxWatches:
		d.add("limits.watches", Failure, raise("max_user_watches", max(524288, 2*(others+need))), "%s: projects without a watch are polled every second", detail)
	case (others+need)*10 > u.maxWatches*9:
		d.add("limits.watches", Warning, raise("max_user_watches", max(524288, 2*(others+need))), "%s: that is nearly all", detail)
	default:
		d.add("limits.watches", OK, "", "%s", detail)
	}

	needInstances := 1
	if u.agentWatches > 0 {
		needInstances = 0 // the agent has it
	}
	detail = fmt.Sprintf("programs of this user have %d of %d inotify instances, and the agent takes one", u.instances, u.maxInstances)
	switch {
	case u.maxInstances == unknown:
		d.add("limits.instances", Skipped, "", "this system does not tell")
	case u.instances+needInstances > u.maxInstances:
		d.add("limits.instances", Failure, raise("max_user_instances", max(1024, 2*u.instances)), "%s: all projects are polled every second", detail)
	case (u.instances+needInstances)*10 > u.maxInstances*9:
		d.add("limits.instances", Warning, raise("max_user_instances", max(1024, 2*u.instances)), "%s", detail)
	default:
		d.add("limits.instances", OK, "", "%s", detail)
	}

	need = descriptorsEach*n + descriptorsMore
	detail = fmt.Sprintf("%s about %d of %d descriptors", count(n, "project takes", "projects take"), need, u.agentDescriptors)
	mend := "ulimit -n " + fmt.Sprint(2*need) + ", in the shell that starts the agent"
	if d.server != nil && d.server.Service {
		mend = fmt.Sprintf("systemctl --user edit spool-agent, with [Service] and LimitNOFILE=%d; agent restart", 2*need)
	}
	switch {
	case u.agentDescriptors == unknown:
		d.add("limits.descriptors", Skipped, "", "this system does not tell")
	case need > u.agentDescriptors:
		d.add("limits.descriptors", Failure, mend, "%s", detail)
	default:
		d.add("limits.descriptors", OK, "", "%s", detail)
	}
}

func raise(what string, to int) string {
	return fmt.Sprintf("sudo sysctl fs.inotify.%s=%d; to keep it: echo fs.inotify.%s=%d | sudo tee -a /etc/sysctl.d/60-spool-agent.conf", what, to, what, to)
}

func chown(words string) string { return fmt.Sprintf("sudo chown -R %d %s", os.Geteuid(), words) }
