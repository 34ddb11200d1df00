package signal

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The forms of events besides that with hook_event_name. Where a form is public,
// the row names the page.
func TestDecodeForms(t *testing.T) {
	const at = 1763852400
	for _, tt := range []struct {
		name, drop string
		want       Signal
	}{
		{
			// https://github.com/microsoft/vscode-docs/blob/main/docs/agent-customization/hooks.md
			"VS Code PostToolUse",
			`{"timestamp":"2026-02-09T10:30:00.000Z","cwd":"/r","sessionId":"s","hookEventName":"PostToolUse","transcript_path":"/t.json","tool_name":"editFiles","tool_input":{"files":["src/main.ts"]},"tool_use_id":"tool-123","tool_response":"File edited successfully"}`,
			Signal{1770633000, ptr("editFiles"), "/r", ptr(`{"timestamp":"2026-02-09T10:30:00.000Z","sessionId":"s","hookEventName":"PostToolUse","transcript_path":"/t.json","tool_input":{"files":["src/main.ts"]},"tool_use_id":"tool-123","tool_response":"File edited successfully"}`)},
		},
		{
			"VS Code without sessionId",
			`{"hookEventName":"Stop","cwd":"/r"}`,
			Signal{at, nil, "/r", ptr(`{"hookEventName":"Stop"}`)},
		},
		{
			// https://github.com/block/goose/blob/main/crates/goose/src/hooks/mod.rs
			"Goose PostToolUse",
			`{"event":"PostToolUse","session_id":"20261125_1","matcher_context":"developer__shell","tool_name":"developer__shell","tool_input":{"command":"ls"},"working_dir":"/home/u/repo"}`,
			Signal{at, ptr("developer__shell"), "/home/u/repo", ptr(`{"event":"PostToolUse","session_id":"20261125_1","matcher_context":"developer__shell","tool_input":{"command":"ls"}}`)},
		},
		{
			// https://github.com/aaif-goose/goose/blob/main/crates/goose/src/hooks/mod.rs
			"Goose Stop, which tells no directory",
			`{"event":"Stop","session_id":"20261125_1","matcher_context":null,"last_assistant_message":"done"}`,
			Signal{at, nil, "/project", ptr(`{"event":"Stop","session_id":"20261125_1","matcher_context":null,"last_assistant_message":"done"}`)},
		},
		{
			// https://docs.windsurf.com/windsurf/cascade/hooks
			"Windsurf pre_run_command",
			`{"agent_action_name":"pre_run_command","trajectory_id":"t1","execution_id":"e1","timestamp":"2026-02-09T10:30:00Z","tool_info":{"command_line":"npm test","cwd":"/home/u/repo"}}`,
			Signal{1770633000, ptr("pre_run_command"), "/home/u/repo", ptr(`{"agent_action_name":"pre_run_command","trajectory_id":"t1","execution_id":"e1","timestamp":"2026-02-09T10:30:00Z","tool_info":{"command_line":"npm test","cwd":"/home/u/repo"}}`)},
		},
		{
			"Windsurf post_write_code, without cwd",
			`{"agent_action_name":"post_write_code","trajectory_id":"t1","tool_info":{"file_path":"/f.py","edits":[{"old_string":"a","new_string":"b"}]}}`,
			Signal{at, ptr("post_write_code"), "/project", ptr(`{"agent_action_name":"post_write_code","trajectory_id":"t1","tool_info":{"file_path":"/f.py","edits":[{"old_string":"a","new_string":"b"}]}}`)},
		},
		{
			// https://docs.cline.bot/features/hooks/hook-reference
			"Cline PostToolUse",
			`{"clineVersion":"4.1.17","hookName":"PostToolUse","timestamp":"1763852401000","taskId":"1763852400123","workspaceRoots":["/home/u/repo","/other"],"userId":"u","postToolUse":{"toolName":"execute_command","parameters":{"command":"ls"},"result":"x","success":true,"executionTimeMs":12}}`,
			Signal{at, nil, "/home/u/repo", ptr(`{"clineVersion":"4.1.17","hookName":"PostToolUse","timestamp":"1763852401000","taskId":"1763852400123","workspaceRoots":["/home/u/repo","/other"],"userId":"u","postToolUse":{"toolName":"execute_command","parameters":{"command":"ls"},"result":"x","success":true,"executionTimeMs":12}}`)},
		},
		{
			"Cline without a workspace",
			`{"hookName":"TaskCancel","taskId":"1","workspaceRoots":[]}`,
			Signal{at, nil, "/project", ptr(`{"hookName":"TaskCancel","taskId":"1","workspaceRoots":[]}`)},
		},
		{
			// https://github.com/ingo-eichhorst/Irrlicht/issues/1723
			"Antigravity PostToolUse, as seen with agy 1.1.18",
			`{"artifactDirectoryPath":"/b","conversationId":"81b73d0d","error":"","modelName":"gemini-3.5-flash","stepIdx":3,"toolCall":{"name":"find_by_name","args":{"Pattern":"x"}},"transcriptPath":"/b/t.jsonl","workspacePaths":[]}`,
			Signal{at, ptr("find_by_name"), "/project", ptr(`{"artifactDirectoryPath":"/b","conversationId":"81b73d0d","error":"","modelName":"gemini-3.5-flash","stepIdx":3,"toolCall":{"name":"find_by_name","args":{"Pattern":"x"}},"transcriptPath":"/b/t.jsonl","workspacePaths":[]}`)},
		},
		{
			// https://github.com/google-antigravity/antigravity-cli/issues/395
			"Antigravity PostToolUse, which does not tell the tool",
			`{"conversationId":"c","error":"exit status 1","stepIdx":21,"toolCall":null,"transcriptPath":"/b/t.jsonl","workspacePaths":["/home/u/repo","/other"]}`,
			Signal{at, nil, "/home/u/repo", ptr(`{"conversationId":"c","error":"exit status 1","stepIdx":21,"toolCall":null,"transcriptPath":"/b/t.jsonl","workspacePaths":["/home/u/repo","/other"]}`)},
		},
		{
			// https://docs.github.com/en/copilot/reference/hooks-configuration
			"Copilot preToolUse, as documented",
			`{"timestamp":1704614600000,"cwd":"/r","toolName":"bash","toolArgs":"{\"command\":\"ls\"}"}`,
			Signal{at, ptr("bash"), "/r", ptr(`{"timestamp":1704614600000,"toolArgs":"{\"command\":\"ls\"}"}`)},
		},
		{
			"Copilot CLI 1.0.102 postToolUse, as seen",
			`{"sessionId":"5b9f9ac0-e1ac-4538-b2cf-510b5b8fefd3","timestamp":1795629192499,"cwd":"/home/u/repo","toolName":"create","toolArgs":{"path":"/home/u/repo/note.txt","file_text":"hello\n"},"toolResult":{"resultType":"success","textResultForLlm":"Created file"}}`,
			Signal{at, ptr("create"), "/home/u/repo", ptr(`{"sessionId":"5b9f9ac0-e1ac-4538-b2cf-510b5b8fefd3","timestamp":1795629192499,"toolArgs":{"path":"/home/u/repo/note.txt","file_text":"hello\n"},"toolResult":{"resultType":"success","textResultForLlm":"Created file"}}`)},
		},
		{
			"Copilot CLI 1.0.102 sessionStart, as seen",
			`{"sessionId":"5b9f9ac0","timestamp":1795629192291,"cwd":"/home/u/repo","source":"new","initialPrompt":"hi"}`,
			Signal{at, nil, "/home/u/repo", ptr(`{"sessionId":"5b9f9ac0","timestamp":1795629192291,"source":"new","initialPrompt":"hi"}`)},
		},
		{
			"Copilot CLI 1.0.102 Notification, as seen: both spellings",
			`{"sessionId":"5b9f9ac0","timestamp":1795629192541,"cwd":"/home/u/repo","message":"Path permission needed: /dev/zero","title":"Permission needed","hook_event_name":"Notification","notification_type":"permission_prompt"}`,
			Signal{at, nil, "/home/u/repo", ptr(`{"sessionId":"5b9f9ac0","timestamp":1795629192541,"message":"Path permission needed: /dev/zero","title":"Permission needed","hook_event_name":"Notification","notification_type":"permission_prompt"}`)},
		},
		{
			"Claude Code 2.1.332 UserPromptSubmit, as seen",
			`{"session_id":"fee5c81a","transcript_path":"/home/u/.claude/projects/-home-u-repo/fee5c81a.jsonl","cwd":"/home/u/repo","prompt_id":"6a42","permission_mode":"bypassPermissions","hook_event_name":"UserPromptSubmit","prompt":"hi"}`,
			Signal{at, nil, "/home/u/repo", ptr(`{"session_id":"fee5c81a","transcript_path":"/home/u/.claude/projects/-home-u-repo/fee5c81a.jsonl","prompt_id":"6a42","permission_mode":"bypassPermissions","hook_event_name":"UserPromptSubmit","prompt":"hi"}`)},
		},
		{
			"Gemini CLI 0.61.0 AfterAgent, as seen",
			`{"session_id":"75ec7fe8","transcript_path":"/t.jsonl","cwd":"/home/u/repo","hook_event_name":"AfterAgent","timestamp":"2026-11-25T16:54:09.113Z","prompt":"hi","prompt_response":"ok","stop_hook_active":false}`,
			Signal{1795625649, nil, "/home/u/repo", ptr(`{"session_id":"75ec7fe8","transcript_path":"/t.jsonl","hook_event_name":"AfterAgent","timestamp":"2026-11-25T16:54:09.113Z","prompt":"hi","prompt_response":"ok","stop_hook_active":false}`)},
		},
		{
			"an unknown tool's: nothing of it is lost",
			`{"tool_name":"fs_write","tool_input":{"command":"create","path":"/f"}}`,
			Signal{at, ptr("fs_write"), "/project", ptr(`{"tool_input":{"command":"create","path":"/f"}}`)},
		},
		{
			"both spellings of a tool and a directory: one of each is taken",
			`{"toolName":"b","working_dir":"/w","hook_event_name":"x","cwd":"/c","tool_name":"a"}`,
			Signal{at, ptr("a"), "/c", ptr(`{"toolName":"b","working_dir":"/w","hook_event_name":"x"}`)},
		},
		{
			"all spellings of a tool and a directory",
			`{"conversationId":"c","transcriptPath":"t","toolCall":{"name":"a","name":"b"},"agent_action_name":"x","workspacePaths":["/w"],"workspaceRoots":["/r"]}`,
			Signal{at, ptr("x"), "/r", ptr(`{"conversationId":"c","transcriptPath":"t","toolCall":{"name":"a","name":"b"},"agent_action_name":"x","workspacePaths":["/w"],"workspaceRoots":["/r"]}`)},
		},
		{
			"nothing is left",
			`{"toolName":"b","cwd":"/c","toolArgs":{}}`,
			Signal{at, ptr("b"), "/c", ptr(`{"toolArgs":{}}`)},
		},
		// Signals, for all that.
		{"a signal with a session", `{"payload":"p","sessionId":"s"}`, Signal{at, nil, "/project", ptr("p")}},
		{"a signal with a task", `{"payload":"p","hookName":"h","taskId":"t","workspaceRoots":["/w"]}`, Signal{at, nil, "/project", ptr("p")}},
		{"a signal with a conversation", `{"payload":"p","conversationId":"c","transcriptPath":"t","toolCall":{"name":"n"}}`, Signal{at, nil, "/project", ptr("p")}},
		{"a signal with a time", `{"recorded_at":7,"tool_name":"A","event":"x","working_dir":"/w"}`, Signal{7, ptr("A"), "/project", nil}},
		{"a signal with a tool's input", `{"payload":"p","tool_name":"A","tool_input":{}}`, Signal{at, ptr("A"), "/project", ptr("p")}},
		{"half of a form", `{"tool_name":"A","event":"x","agent_action_name":"y","toolName":"z","hookEventName":1}`, Signal{at, ptr("A"), "/project", nil}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, decode(t, tt.drop, origin)); diff != "" {
				t.Error(diff)
			}
		})
	}
	for _, drop := range []string{
		`{"event":"x","cwd":"/r"}`, `{"working_dir":"/r","session_id":"s"}`, `{"agent_action_name":"x","tool_info":"y"}`, `{"toolName":"x"}`,
		`{"toolArgs":{}}`, `{"sessionId":1}`, `{"hookEventName":null}`, `{"hookName":"x"}`, `{"taskId":"x"}`, `{"hookName":"x","taskId":1}`, `{"conversationId":"x"}`, `{"transcriptPath":"x"}`, `{"conversationId":"x","transcriptPath":null,"toolCall":{"name":"n"}}`, `{"session_id":"s","cwd":"/r","prompt":"p"}`,
	} {
		if s, err := DecodeDrop([]byte(drop), origin); err == nil {
			t.Errorf("%s is neither a signal nor an event, but became %+v", drop, s)
		}
	}
}

func TestDecodeSource(t *testing.T) {
	o := origin
	o.Source = "claude"
	for _, tt := range []struct{ drop, payload string }{
		{`{"hook_event_name":"Stop","source":"startup"}`, `{"spool_source":"claude","hook_event_name":"Stop","source":"startup"}`},
		{`{"cwd":"/r","tool_name":"A","hook_event_name":"x"}`, `{"spool_source":"claude","hook_event_name":"x"}`},
		{`{"payload":"p"}`, `p`},
	} {
		if s := decode(t, tt.drop, o); *s.Payload != tt.payload {
			t.Errorf("%s: %s", tt.drop, *s.Payload)
		}
	}
	long := `{"hook_event_name":"Stop"` + strings.Repeat(`,"y":0`, 9_999) + `}`
	if s := decode(t, long, o); !strings.HasPrefix(*s.Payload, `{"spool_source":"claude","hook_event_name":"Stop","shortened":"`) {
		t.Errorf("%.200s", *s.Payload)
	}
}
