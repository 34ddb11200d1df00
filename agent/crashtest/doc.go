// Package crashtest has only tests.
package crashtest
