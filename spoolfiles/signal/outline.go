package signal

// outline is what of a JSON value can get shorter: its strings, but for names,
// and its containers, in the order in which they begin. The first is the whole.
// What has no more than minString bytes cannot, and is left out.
type outline struct {
	json  []byte
	nodes []node
	floor int   // see plan
	least []int // by node: its length with all strings in it cut to floor
}

type node struct {
	start, end int  // its place in json
	parent     int  // the node around it
	next       int  // the first node after all that are in it
	text       bool // it is a string
	flat       bool // it is to become a string of its own text
}

func (n *node) size() int { return n.end - n.start }

// newOutline takes an object that is known to be valid.
func newOutline(json []byte) *outline {
	o := &outline{json: json}
	r := readJSON(json)
	defer r.done()
	for open := -1; ; {
		switch kind := r.dec.PeekKind(); kind {
		case '{', '[':
			_, _ = r.dec.ReadToken()
			o.nodes = append(o.nodes, node{start: r.offset() - 1, parent: open})
			open = len(o.nodes) - 1
		case '}', ']':
			_, _ = r.dec.ReadToken()
			n := &o.nodes[open]
			n.end, n.next = r.offset(), len(o.nodes)
			if n.size() <= minString { // then it is the last: so has all that is in it
				o.nodes = o.nodes[:open]
			}
			if open = n.parent; open < 0 {
				return o
			}
		case '"':
			v, _ := r.dec.ReadValue()
			in, count := r.dec.StackIndex(r.dec.StackDepth())
			if isName := in == '{' && count%2 == 1; !isName && len(v) > minString {
				end := r.offset()
				o.nodes = append(o.nodes, node{start: end - len(v), end: end, parent: open, next: len(o.nodes) + 1, text: true})
			}
		default:
			if _, err := r.dec.ReadToken(); err != nil {
				return o // not to be had from a valid object
			}
		}
	}
}

// plan finds out which containers must become strings so that limit bytes suffice
// with no string cut to less than floor. It is false if the whole would have to.
func (o *outline) plan(floor, limit int) bool {
	o.floor = floor
	o.least = make([]int, len(o.nodes))
	for i := range o.nodes {
		o.nodes[i].flat = false
		o.least[i] = o.nodes[i].size()
	}
	for i := len(o.nodes) - 1; i > 0; i-- {
		n := &o.nodes[i]
		if n.text {
			o.least[i] = min(n.size(), floor)
		}
		o.least[n.parent] -= n.size() - o.least[i]
	}
	return o.fit(0, limit)
}

// fit makes containers within the i-th node flat, so that its least length is at
// most limit. It is false if only making the node itself flat would do. It goes
// no deeper than the decoder allows values to nest.
func (o *outline) fit(i, limit int) bool {
	if o.least[i] <= limit {
		return true
	}
	n := &o.nodes[i]
	fixed := n.size()
	var lengths []int
	for c := i + 1; c < n.next; c = o.nodes[c].next {
		fixed -= o.nodes[c].size()
		lengths = append(lengths, o.least[c])
	}
	share := level(fixed, lengths, limit)
	if share < o.floor {
		return false
	}
	for c := i + 1; c < n.next; c = o.nodes[c].next {
		if !o.fit(c, share) {
			o.nodes[c].flat = true
		}
	}
	return true
}
