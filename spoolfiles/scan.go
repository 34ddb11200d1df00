package spoolfiles

import (
	"bytes"
	"cmp"
	"container/heap"
	"hash/maphash"
	"slices"
	"strings"
)

// Entry is one drop as the listing of incoming shows it.
type Entry struct {
	Name string
	Info
}

// older is the order in which drops are folded: modification time, then name.
func older(a, b Entry) int {
	if c := cmp.Compare(a.MTime, b.MTime); c != 0 {
		return c
	}
	return strings.Compare(a.Name, b.Name)
}

// IsDropName reports whether incoming/NAME is a drop, and not a file that a
// producer is still writing or that is none of ours.
func IsDropName(name string) bool { return isDropName([]byte(name)) }

func isDropName(name []byte) bool {
	return len(name) > len(".json") && name[0] != '.' && bytes.HasSuffix(name, []byte(".json"))
}

// Scan lists the drops in incoming, oldest first. With newest > 0 it returns
// only that many of the newest, and in rest which others it saw.
//
// The memory it takes is that of what it returns, and 8 bytes for each drop in
// rest, so a backlog of millions can be looked at.
func (s *Spool) Scan(newest int) (entries []Entry, rest *Rest, err error) {
	var all []Entry
	rest = &Rest{seed: maphash.MakeSeed()}
	err = s.Incoming.Each(func(name []byte, ino uint64) error {
		if !isDropName(name) {
			return nil
		}
		info, err := s.Incoming.Lstat(string(name))
		if err != nil {
			return nil // gone since, or about to be seen again
		}
		if newest <= 0 || len(all) < newest {
			all = append(all, Entry{string(name), info})
			if len(all) == newest {
				heap.Init((*oldestFirst)(&all))
			}
			return nil
		}
		if info.MTime < all[0].MTime || info.MTime == all[0].MTime && string(name) < all[0].Name {
			rest.add(name, ino)
			return nil
		}
		rest.add([]byte(all[0].Name), all[0].Ino)
		all[0] = Entry{string(name), info}
		heap.Fix((*oldestFirst)(&all), 0)
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(all, older)
	rest.freeze()
	return all, rest, nil
}

// CountDrops counts the drops in incoming.
func (s *Spool) CountDrops() (n int, err error) {
	err = s.Incoming.Each(func(name []byte, _ uint64) error {
		if isDropName(name) {
			n++
		}
		return nil
	})
	return n, err
}

// oldestFirst is a heap with the oldest entry at its root.
type oldestFirst []Entry

func (h oldestFirst) Len() int           { return len(h) }
func (h oldestFirst) Less(i, j int) bool { return older(h[i], h[j]) < 0 }
func (h oldestFirst) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *oldestFirst) Push(any)          { panic("not used: the heap never grows") }
func (h *oldestFirst) Pop() any          { panic("not used: the heap never shrinks") }

// Rest is the set of drops that a Scan saw and did not return: a hash of name
// and inode number for each. The seed is random, so nobody can aim at a
// collision.
type Rest struct {
	seed maphash.Seed
	sums []uint64
}

func (r *Rest) sum(name []byte, ino uint64) uint64 {
	var h maphash.Hash
	h.SetSeed(r.seed)
	h.Write(name)
	var b [8]byte
	for i := range b {
		b[i] = byte(ino >> (8 * i))
	}
	h.Write(b[:])
	return h.Sum64()
}

func (r *Rest) add(name []byte, ino uint64) { r.sums = append(r.sums, r.sum(name, ino)) }

func (r *Rest) freeze() { slices.Sort(r.sums) }

// Len is the number of drops in the set.
func (r *Rest) Len() int { return len(r.sums) }

// Has reports whether the set has the drop.
func (r *Rest) Has(name []byte, ino uint64) bool {
	_, ok := slices.BinarySearch(r.sums, r.sum(name, ino))
	return ok
}
