package main

// scanner finds the end of the first JSON value in a text that comes in pieces.
// It knows strings and brackets and checks nothing else. A text that does not
// begin with an object, an array or a string is no event, and has no end.
type scanner struct {
	begun   bool // behind the white space before the value
	none    bool // it is no event
	depth   int  // of brackets
	quoted  bool // within a string
	escaped bool // behind a backslash
}

// end returns the index behind the last byte of the value, or -1 if the value
// goes on after this piece.
func (s *scanner) end(piece []byte) int {
	i := 0
	if !s.begun {
		i = skipSpace(piece)
		if i == len(piece) {
			return -1
		}
		s.begun = true
		s.none = piece[i] != '{' && piece[i] != '[' && piece[i] != '"'
	}
	if s.none {
		return -1
	}
	if s.escaped && len(piece) > 0 {
		i, s.escaped = 1, false
	}
	for ; i < len(piece); i++ {
		if s.quoted {
			for ; i < len(piece) && piece[i] != '"'; i++ {
				if piece[i] == '\\' {
					i++
					// Where JSON is within a string, escapes come in runs.
					for i+8 < len(piece) && piece[i+1] == '\\' && piece[i+3] == '\\' && piece[i+5] == '\\' && piece[i+7] == '\\' {
						i += 8
					}
				}
			}
			if i >= len(piece) {
				s.escaped = i > len(piece)
				return -1
			}
		}
		switch piece[i] {
		case '"':
			s.quoted = !s.quoted
		case '{', '[':
			s.depth++
		case '}', ']':
			s.depth--
		}
		if s.depth == 0 && !s.quoted {
			return i + 1
		}
	}
	return -1
}

// skipSpace returns the index behind the white space at the beginning.
func skipSpace(text []byte) int {
	for i, c := range text {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return i
		}
	}
	return len(text)
}
