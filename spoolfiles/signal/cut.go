package signal

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	markerHead = "…["
	markerTail = " bytes cut]…"
)

// minString is a length, with its quotes, to which every JSON string can be cut:
// the marker fits with any number it may have to hold.
const minString = len(`""`) + len(markerHead) + 20 + len(markerTail)

// appendMarker appends what stands for n bytes that went.
func appendMarker(dst []byte, n int) []byte {
	dst = append(dst, markerHead...)
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, markerTail...)
}

// markerLen is how long a marker gets at most if up to n bytes go.
func markerLen(n int) int {
	return len(markerHead) + len(strconv.Itoa(n)) + len(markerTail)
}

// hidden is how many bytes more the markers in a text stand for than they have
// themselves: whoever gave us the text, as hook.sh, had cut it before.
func hidden(text string) (n int) {
	for n < 1<<48 {
		_, rest, ok := strings.Cut(text, markerHead)
		if !ok {
			break
		}
		text = rest
		digits, _, ok := strings.Cut(rest[:min(len(rest), 15+len(markerTail))], markerTail)
		if count, err := strconv.ParseUint(digits, 10, 48); ok && err == nil {
			n += int(count) - len(markerHead) - len(digits) - len(markerTail)
		}
	}
	return n
}

// shortenText keeps the head of a text longer than limit, and a marker.
func shortenText(s string, limit int) string {
	keep := limit - markerLen(len(s)+max(0, hidden(s)))
	for keep > 0 && !utf8.RuneStart(s[keep]) {
		keep--
	}
	return string(appendMarker([]byte(s[:keep]), len(s)-keep+hidden(s[keep:])))
}

// appendCut appends a JSON string, given with its quotes and longer than limit,
// cut to limit bytes or a few less: half of what is left beside the marker is
// head and half is tail. Neither begins or ends within an escape, a character or
// a surrogate pair.
func appendCut(dst, quoted []byte, limit int) []byte {
	body := quoted[1 : len(quoted)-1]
	keep := limit - len(`""`) - markerLen(len(body)+max(0, hidden(string(body))))
	head := 0
	for {
		n, _ := unit(body[head:])
		if head+n > (keep+1)/2 {
			break
		}
		head += n
	}
	tail, size := head, 0
	for len(body)-tail > keep-head {
		n, text := unit(body[tail:])
		tail += n
		size += text
	}
	size += hidden(string(body[head:tail]))
	dst = append(dst, '"')
	dst = append(dst, body[:head]...)
	dst = appendMarker(dst, size)
	dst = append(dst, body[tail:]...)
	return append(dst, '"')
}

// unit returns the length of the indivisible piece that a JSON string's body
// begins with, and that of the text it stands for. Half a surrogate pair counts
// as U+FFFD, which is what readers make of it.
func unit(body []byte) (n, text int) {
	if body[0] < utf8.RuneSelf && body[0] != '\\' {
		return 1, 1
	}
	if body[0] != '\\' {
		_, n := utf8.DecodeRune(body)
		return n, n
	}
	if body[1] != 'u' {
		return len(`\n`), 1
	}
	const long = len(`\u0000`)
	r := hex4(body[2:])
	if utf16.IsSurrogate(r) {
		if next := body[long:]; len(next) >= long && next[0] == '\\' && next[1] == 'u' &&
			utf16.DecodeRune(r, hex4(next[2:])) != utf8.RuneError {
			return 2 * long, utf8.UTFMax
		}
		r = utf8.RuneError
	}
	return long, utf8.RuneLen(r)
}

func hex4(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 16) // the decoder has seen to the digits
	return rune(n)
}

// level returns the greatest length to which all that are longer can be cut so
// that fixed and the lengths together come to at most limit: math.MaxInt if
// nothing need be cut, less than 0 if fixed alone is too much. It sorts lengths.
func level(fixed int, lengths []int, limit int) int {
	left := limit - fixed
	if left < 0 {
		return -1
	}
	slices.Sort(lengths)
	for i, n := range lengths {
		if share := left / (len(lengths) - i); n > share {
			return share
		}
		left -= n
	}
	return math.MaxInt
}
