package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// FuzzScan compares the scanner with encoding/json, and a text in one piece with
// the same text in pieces.
func FuzzScan(f *testing.F) {
	for _, text := range []string{
		`{"a":"}\"]\\","b":[{},[]]} rest`, " \t\r\n[\"\\\\\"]\n", `"\"" `, `"`, `{"a":"\`, `{}{}`, `[}`, `x{}`, "1 {}", "", `{"a":"\"\"\"\"\"\"\"\"\"\\\\\\"} "`, "{\"\\ud800\":\"\\u0022\"}",
	} {
		f.Add([]byte(text), uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, size uint8) {
		got := new(scanner).end(text)
		dec := json.NewDecoder(bytes.NewReader(text))
		var value json.RawMessage
		if err := dec.Decode(&value); err == nil && bytes.IndexByte([]byte(`{["`), value[0]) >= 0 {
			if want := int(dec.InputOffset()); got != want {
				t.Errorf("%q ends at %d, want %d", text, got, want)
			}
		}
		var s scanner
		inPieces := -1
		for from := 0; from < len(text) && inPieces < 0; from += int(size) + 1 {
			piece := text[from:min(from+int(size)+1, len(text))]
			if end := s.end(piece); end >= 0 {
				inPieces = from + end
			}
		}
		if inPieces != got {
			t.Errorf("%q in pieces of %d ends at %d, want %d", text, int(size)+1, inPieces, got)
		}
	})
}
