// Package hooks connects AI coding tools and git to the spool: it puts hooks
// into their own settings, and takes them out again. It knows nothing of spools.
//
// What belongs into the settings of which tool is one table, in tools.go. Where
// the formats are documented is in testdata/README.md.
//
// # The tools
//
// "make clients" runs six of the tools. These are the events that are connected, those
// that it has not seen in parentheses, since no session of it brings them about:
//
//	claude    UserPromptSubmit, PostToolUse, PostToolUseFailure, SubagentStart,
//	          SubagentStop, Stop, StopFailure, PreCompact, PostCompact, SessionEnd
//	codex     UserPromptSubmit, PostToolUse, SubagentStop, Stop, PreCompact,
//	          PostCompact, SessionEnd
//	gemini    AfterTool, AfterAgent, SessionEnd
//	opencode  chat.message, tool.execute.after, message.part.updated, session.idle,
//	          session.error (session.compacted; and all of version 2)
//	qwen      UserPromptSubmit, PostToolUse, PostToolUseFailure, SubagentStart,
//	          SubagentStop, Stop, PreCompact (StopFailure, PostCompact, SessionEnd)
//	copilot   UserPromptSubmit, PostToolUse, PostToolUseFailure, SubagentStop, Stop,
//	          ErrorOccurred, SessionEnd (PreCompact)
//
// Of the others, the events are from their documentation or source:
//
//	cursor    postToolUse, postToolUseFailure, afterAgentResponse, subagentStop, stop,
//	          preCompact, sessionEnd
//	windsurf  pre_user_prompt, post_write_code, post_run_command, post_mcp_tool_use,
//	          post_cascade_response
//	droid     UserPromptSubmit, PostToolUse, SubagentStop, Stop, PreCompact, SessionEnd
//	goose     UserPromptSubmit, PostToolUse, PostToolUseFailure, Stop, SessionEnd
//	kiro      UserPromptSubmit, PostToolUse, Stop
//	kimi      UserPromptSubmit, PostToolUse, PostToolUseFailure, SubagentStart,
//	          SubagentStop, Stop, StopFailure, PreCompact, PostCompact, SessionEnd
//	cline     UserPromptSubmit, PostToolUse, PreCompact, TaskComplete, TaskCancel,
//	          TaskError (the last one is the command line's)
//	antigravity
//	          PostToolUse, Stop
//
// Antigravity is connected per project only: its hooks run in the directory of their
// file, and those of the user do not know the project. Its events do not tell which
// they are, but that of PostToolUse has a stepIdx, and that of Stop has not.
//
// VS Code runs the hooks of Claude Code and of Copilot CLI. It is connected with
// either of them, and needs no connection of its own.
//
// # The hooks
//
// They are a shell command that runs spool-hook and, where that is missing,
// hook.sh; OpenCode gets a plugin, Cline a script with that command for each event,
// and git's hooks run git.sh, which runs hook.sh. None of them needs the agent.
// Whatever happens, the command reads the event to its end, prints nothing, or for
// Antigravity an empty object, and ends with 0: a tool is not blocked, not even where
// all of it is gone, for which a shell may have status 2, a veto.
//
// Events are connected that tell what has happened; the few of them at which a
// tool asks for leave (a prompt, a compaction, a push) always have it. The tool
// waits for its hooks: so the drop is there when a consumer of the same event
// drains, and none is lost when the tool ends. Only Cline's command line does not
// wait. Timeouts are for a machine under load; a hook takes some milliseconds.
//
// On request the hooks at the ends of a turn run another command after that, which
// finds the signals of the turn in place, and can no more disturb the tool. Tools run
// all hooks of an event at once: a hook of its own would often be too early. Where a
// turn fails, it is run with the next end: "claude -p" kills its hooks then.
//
// Git LFS finds its hooks in order, with ours behind them: where it is set up, they
// are put there first, and stay when ours go. Where it is set up after ours, our
// pre-push pushes its objects; to install ours again makes room for its own.
//
// A hook is ours if its command is one of those that were ever installed, to
// the letter, followed by no more than such a command. Others are never touched.
//
// # The settings
//
// All that is not ours in a file stays to the byte: comments, order, indentation, line
// ends. Each hook of ours has a line of its own, if other things have. If a file does
// not parse, or is not what it should be where we need it, it is left alone. It is
// replaced by a rename, after a last look whether it still is what was read, with its
// owner and permissions (on Linux also its access list); a link to it stays a link. A
// file that is a mount of its own is written in place. Root changes nothing in the home
// directory of a user. To install twice changes nothing.
//
// Before our part is put into a file in which there is none, a copy is made beside it,
// called NAME.before-spool-agent, in place of an earlier one. To uninstall, the copy is
// tried: if the file is what installing makes of the copy, then nobody has changed it
// since, it becomes the copy again, to the byte, and the copy goes. A file of which
// nothing but our part is there is removed in the same way, and then the directories
// that this leaves empty, but not ~/Documents. Otherwise only our hooks go, and the
// arrays and objects that are empty then.
//
// # Our own files
//
//	~/.local/share/spool-agent/
//	  bin/spool-hook     what the hooks run: a copy of the one beside this program,
//	                     unless that is in a system directory, and run there
//	  hook.sh, git.sh    the same where it is missing, and for git; all of them go
//	                     with the last connection
//	  connected/         one JSON file a connection: tool, project (none: the user's
//	                     settings), and the directories that were made for it
//
// The place does not depend on XDG_DATA_HOME: a tool that was started from a
// desktop's menu has not got the variables of the user's shell.
package hooks
