package hooks

import _ "embed"

var (
	//go:embed git.sh
	gitHook string
	//go:embed githook.sh
	gitHookText string // a hook as we make it
	//go:embed githook-after-lfs.sh
	gitHookAfterLFS string // what belongs behind a hook of Git LFS
	//go:embed opencode-plugin.js
	plugin string
)
