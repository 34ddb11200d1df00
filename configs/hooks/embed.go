package hooks

import _ "embed"

var (
	//go:embed git.sh
	gitHook string
	//go:embed opencode-plugin.js
	plugin string
)
