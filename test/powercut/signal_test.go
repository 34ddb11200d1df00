//go:build linux && powercut

package powercut

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"regexp"
	"strconv"
	"strings"
)

// A signal of these tests has an ID, a letter and a number, and proves itself.
// The letter says where it comes from:
//
//	S  a drop
//	H  a drop that a hook or "agent drop" left in a project of its own
//	G  a line that a stranger appended and synced
//	F  a line that a stranger appended and did not sync
//
// Its payload repeats the ID, so that any piece of it tells whose it is, and
// ends in a checksum.

// payloadSizes are taken in turn. Some are beyond a sector, and one is nearly a
// block and below max_payload.
var payloadSizes = [...]int{8, 40, 250, 1000, 16, 520, 100, 2000, 60, 3900}

func payload(id string) string {
	n, _ := strconv.Atoi(id[1:])
	body := strings.Repeat(id+".", 1+payloadSizes[n%len(payloadSizes)]/(len(id)+1))
	return fmt.Sprintf("%s%08x", body, crc32.ChecksumIEEE([]byte(body)))
}

// line is the signal as the queue has it. The time begins with 18 only in F.
func line(id string) []byte {
	n, _ := strconv.Atoi(id[1:])
	at := 1700000000 + n
	if id[0] == 'F' {
		at = 1800000000 + n
	}
	return fmt.Appendf(nil, `{"recorded_at":%d,"tool_name":"%c","cwd":"/p","payload":"%s"}`+"\n", at, id[0], payload(id))
}

// event is an H signal as a tool gives it to its hook.
func event(id string) []byte {
	return fmt.Appendf(nil, `{"hook_event_name":"Test","tool_name":"H","cwd":"/p","proof":"%s"}`+"\n", payload(id))
}

var beginsWithID = regexp.MustCompile(`^([SHGF][0-9]{1,9})\.`)

// identify returns the ID of a line, or false if not every byte is right.
func identify(text []byte) (id string, ok bool) {
	var s struct {
		Payload string `json:"payload"`
	}
	if json.Unmarshal(text, &s) != nil {
		return "", false
	}
	proof := s.Payload
	var e struct {
		Proof string `json:"proof"`
	}
	if json.Unmarshal([]byte(s.Payload), &e) == nil {
		proof = e.Proof
	}
	m := beginsWithID.FindStringSubmatch(proof)
	if m == nil {
		return "", false
	}
	id = m[1]
	if id[0] == 'H' { // the agent made the line
		return id, proof == payload(id)
	}
	return id, bytes.Equal(text, bytes.TrimSuffix(line(id), []byte("\n")))
}

// scan returns the IDs in JSON Lines, and the lines that are garbled. Blank
// lines do not count.
func scan(data []byte) (ids, garbled []string) {
	for text := range bytes.SplitSeq(data, []byte("\n")) {
		if len(bytes.Trim(text, " \t\r")) == 0 {
			continue
		}
		if id, ok := identify(text); ok {
			ids = append(ids, id)
		} else {
			garbled = append(garbled, fmt.Sprintf("%.60q", text))
		}
	}
	return ids, garbled
}

// sound returns the IDs where nothing is garbled.
func sound(what string, data []byte) []string {
	ids, garbled := scan(data)
	if garbled != nil {
		check(fmt.Errorf("%s has garbled lines: %v", what, garbled))
	}
	return ids
}

var (
	unsyncedPiece = regexp.MustCompile(`F[0-9]+\.|"recorded_at":18`)
	promisedPiece = regexp.MustCompile(`[SHG][0-9]+\.`)
)

// fromUnsynced reports whether a rejected piece can be what is left of lines
// that a stranger did not sync.
func fromUnsynced(piece []byte) bool {
	text := bytes.Trim(piece, "\x00 \r\n")
	if promisedPiece.Match(text) {
		return false
	}
	return unsyncedPiece.Match(text) || bytes.HasPrefix([]byte(`{"recorded_at":18`), text)
}
