//go:build root && unix

package spoolfiles_test

import "testing"

func TestRootFind(t *testing.T) { TestFind(t) }
