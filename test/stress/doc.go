// Package stress holds the test in which everybody is at a project at once:
// shell hooks, an agent that is killed and started again, consumers, and
// programs that know nothing of us and share the queue by flock(2) alone. It
// has the build tag tools, since it needs Python.
package stress
