package service

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	kardianos "github.com/kardianos/service"
)

// New is the service of the user who runs this program. Its error says that
// this system has no manager for it, and what to do instead.
func New() (*Service, error) {
	// What the manual of sd_booted(3) says. Others guess from what is installed.
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		m, err := newSystemd()
		if err != nil {
			return nil, err
		}
		return &Service{m}, nil
	}
	const instead = "; let another program keep 'agent run --service' running, such as cron with a line '@reboot agent run --service'"
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil && bytes.Contains(bytes.ToLower(release), []byte("microsoft")) {
		return nil, errors.New("WSL runs without systemd here: write '[boot]' and 'systemd=true' into /etc/wsl.conf and run 'wsl --shutdown' in Windows" + instead)
	}
	return nil, fmt.Errorf("this machine is not run by systemd (but by %s, it seems), and has no services for users%s", kardianos.Platform(), instead)
}
