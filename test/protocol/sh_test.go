//go:build unix && !tools

package protocol

var interpreted = []language{script("sh", ".sh", true, "sh")}
