package doctor

import "golang.org/x/sys/windows"

// spaceOf returns how much room the volume of path has.
func spaceOf(path string) (s space) {
	if name, err := windows.UTF16PtrFromString(path); err == nil {
		_ = windows.GetDiskFreeSpaceEx(name, &s.freeBytes, &s.bytes, nil) // else it is not known
	}
	return s
}
