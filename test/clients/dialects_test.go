//go:build linux && clients

package clients

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// How clients ask, and are answered: each dialect reads the conversation and
// writes the answer, as a stream if the client wants one.

// A stream writes server-sent events.
type stream struct{ http.ResponseWriter }

func newStream(w http.ResponseWriter) stream {
	w.Header().Set("Content-Type", "text/event-stream")
	return stream{w}
}

func (s stream) send(name string, data any) {
	if name != "" {
		fmt.Fprintf(s, "event: %s\n", name)
	}
	text, _ := json.Marshal(data)
	fmt.Fprintf(s, "data: %s\n\n", text)
	s.ResponseWriter.(http.Flusher).Flush()
}

// parts are the texts of a content: a string, or an array of parts.
func parts(content json.RawMessage) (all []part) {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return []part{{Text: text}}
	}
	json.Unmarshal(content, &all)
	return all
}

type part struct {
	Type             string
	Text             string
	EncryptedContent string `json:"encrypted_content"` // what Codex has an agent do; it is not encrypted
	FunctionResponse any    // Gemini
}

// id is one that no other has.
func id(prefix string, seed any) string {
	return fmt.Sprintf("%s_%x", prefix, unique.Add(1)) + fmt.Sprint(seed)
}

// messages is Anthropic's.
func (m *model) messages(w http.ResponseWriter, r *http.Request, body json.RawMessage) {
	var q struct {
		Model    string
		Stream   bool
		Tools    []any
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	json.Unmarshal(body, &q)
	var all []said
	for _, msg := range q.Messages {
		if msg.Role != "user" {
			continue
		}
		for _, p := range parts(msg.Content) {
			all = append(all, said{p.Text, p.Type == "tool_result"})
		}
	}
	a, ok := m.next(w, r, all, len(q.Tools) > 0)
	if !ok {
		return
	}
	content, stop := []object{{"type": "text", "text": a.text}}, "end_turn"
	if len(a.calls) > 0 {
		content, stop = nil, "tool_use"
	}
	for i, c := range a.calls {
		name, args := m.client.call(m, c)
		content = append(content, object{"type": "tool_use", "id": id("toolu", i), "name": name, "input": args})
	}
	message := object{"id": id("msg", ""), "type": "message", "role": "assistant", "model": q.Model, "content": []any{},
		"stop_reason": nil, "stop_sequence": nil, "usage": object{"input_tokens": 10, "output_tokens": 10}}
	if !q.Stream {
		message["content"], message["stop_reason"] = content, stop
		reply(w, http.StatusOK, message)
		return
	}
	s := newStream(w)
	send := func(kind string, more object) {
		more["type"] = kind
		s.send(kind, more)
	}
	send("message_start", object{"message": message})
	for i, c := range content {
		delta := object{"type": "text_delta", "text": c["text"]}
		start := object{"type": "text", "text": ""}
		if input, ok := c["input"]; ok {
			text, _ := json.Marshal(input)
			delta = object{"type": "input_json_delta", "partial_json": string(text)}
			start = object{"type": c["type"], "id": c["id"], "name": c["name"], "input": object{}}
		}
		send("content_block_start", object{"index": i, "content_block": start})
		send("content_block_delta", object{"index": i, "delta": delta})
		send("content_block_stop", object{"index": i})
	}
	send("message_delta", object{"delta": object{"stop_reason": stop, "stop_sequence": nil}, "usage": object{"output_tokens": 10}})
	send("message_stop", object{})
}

// responses is OpenAI's newer one. Clients that use it stream.
func (m *model) responses(w http.ResponseWriter, r *http.Request, body json.RawMessage) {
	var q struct {
		Model string
		Tools []any
		Input []struct {
			Type, Role string
			Content    json.RawMessage
		}
	}
	json.Unmarshal(body, &q)
	var all []said
	for _, in := range q.Input {
		if in.Role == "user" || in.Type == "agent_message" {
			for _, p := range parts(in.Content) {
				all = append(all, said{text: p.Text + p.EncryptedContent})
			}
		}
		if strings.HasSuffix(in.Type, "_call_output") {
			all = append(all, said{result: true})
		}
	}
	a, ok := m.next(w, r, all, len(q.Tools) > 0)
	if !ok {
		return
	}
	var out []object
	for i, c := range a.calls {
		name, args := m.client.call(m, c)
		item := object{"id": id("item", i), "call_id": id("call", i), "name": name, "status": "completed"}
		if space, name, ok := strings.Cut(name, "/"); ok {
			item["namespace"], item["name"] = space, name
		}
		if text, ok := args.(string); ok {
			item["type"], item["input"] = "custom_tool_call", text
		} else {
			text, _ := json.Marshal(args)
			item["type"], item["arguments"] = "function_call", string(text)
		}
		out = append(out, item)
	}
	if len(out) == 0 {
		out = []object{{"type": "message", "id": id("msg", ""), "role": "assistant", "status": "completed",
			"content": []any{object{"type": "output_text", "text": a.text, "annotations": []any{}}}}}
	}
	response := object{"id": id("resp", ""), "object": "response", "status": "in_progress", "model": q.Model, "output": []any{}}
	s := newStream(w)
	number := 0
	send := func(kind string, more object) {
		more["type"], more["sequence_number"] = kind, number
		number++
		s.send(kind, more)
	}
	send("response.created", object{"response": response})
	for i, item := range out {
		send("response.output_item.added", object{"output_index": i, "item": item})
		send("response.output_item.done", object{"output_index": i, "item": item})
	}
	response["status"], response["output"] = "completed", out
	response["usage"] = object{"input_tokens": 10, "input_tokens_details": object{"cached_tokens": 0},
		"output_tokens": 10, "output_tokens_details": object{"reasoning_tokens": 0}, "total_tokens": 20}
	send("response.completed", object{"response": response})
}

// chat is OpenAI's older one.
func (m *model) chat(w http.ResponseWriter, r *http.Request, body json.RawMessage) {
	var q struct {
		Model    string
		Stream   bool
		Tools    []any
		Messages []struct {
			Role    string
			Content json.RawMessage
		}
	}
	json.Unmarshal(body, &q)
	var all []said
	for _, msg := range q.Messages {
		switch msg.Role {
		case "tool":
			all = append(all, said{result: true})
		case "user":
			for _, p := range parts(msg.Content) {
				all = append(all, said{text: p.Text})
			}
		}
	}
	a, ok := m.next(w, r, all, len(q.Tools) > 0)
	if !ok {
		return
	}
	var calls []object
	for i, c := range a.calls {
		name, args := m.client.call(m, c)
		text, _ := json.Marshal(args)
		calls = append(calls, object{"index": i, "id": id("call", i), "type": "function", "function": object{"name": name, "arguments": string(text)}})
	}
	message, finish := object{"role": "assistant", "content": a.text}, "stop"
	if len(calls) > 0 {
		message, finish = object{"role": "assistant", "content": nil, "tool_calls": calls}, "tool_calls"
	}
	usage := object{"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
	name := id("chatcmpl", "")
	if !q.Stream {
		reply(w, http.StatusOK, object{"id": name, "object": "chat.completion", "created": 1, "model": q.Model,
			"choices": []any{object{"index": 0, "message": message, "finish_reason": finish}}, "usage": usage})
		return
	}
	s := newStream(w)
	send := func(delta object, finish any, usage any) {
		s.send("", object{"id": name, "object": "chat.completion.chunk", "created": 1, "model": q.Model,
			"choices": []any{object{"index": 0, "delta": delta, "finish_reason": finish}}, "usage": usage})
	}
	send(message, nil, nil)
	send(object{}, finish, usage)
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// generate is Gemini's.
func (m *model) generate(w http.ResponseWriter, r *http.Request, body json.RawMessage) {
	var q struct {
		Tools    []any
		Contents []struct {
			Role  string
			Parts []part
		}
		GenerationConfig struct{ ResponseJSONSchema, ResponseSchema any }
	}
	json.Unmarshal(body, &q)
	var all []said
	for _, c := range q.Contents {
		if c.Role == "model" {
			continue
		}
		for _, p := range c.Parts {
			all = append(all, said{p.Text, p.FunctionResponse != nil})
		}
	}
	a, ok := m.next(w, r, all, len(q.Tools) > 0)
	if !ok {
		return
	}
	out := []any{object{"text": a.text}}
	if len(a.calls) > 0 {
		out = nil
	}
	for i, c := range a.calls {
		name, args := m.client.call(m, c)
		out = append(out, object{"functionCall": object{"id": id("call", i), "name": name, "args": args}, "thoughtSignature": "c2ln"})
	}
	response := object{"candidates": []any{object{"index": 0, "finishReason": "STOP", "content": object{"role": "model", "parts": out}}},
		"usageMetadata": object{"promptTokenCount": 10, "candidatesTokenCount": 10, "totalTokenCount": 20}, "modelVersion": "fake"}
	if strings.HasSuffix(r.URL.Path, ":generateContent") {
		reply(w, http.StatusOK, response)
		return
	}
	newStream(w).send("", response)
}
