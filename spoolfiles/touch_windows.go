package spoolfiles

import "time"

// Touch sets the modification time of the file name to now.
func (d *Dir) Touch(name string) error {
	if err := d.refuseLink("touch", name); err != nil {
		return err
	}
	now := time.Now()
	return d.root.Chtimes(name, now, now)
}
