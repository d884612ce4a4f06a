package guid

// span is a range with a walk over its fresh GUIDs: those never taken.
//
// Fresh GUIDs only ever become fewer, so the taken ones form runs that grow and merge.
// Each run is known by its two ends alone, which makes taking one and finding the next
// O(1) whatever is taken: a set of a million neighbours is one run.
type span struct {
	Range
	fresh  uint64
	walk   GUID          // fresh while there is a fresh one at or above it, else Last
	ending map[GUID]GUID // first of a run -> its last
	from   map[GUID]GUID // last of a run -> its first
}

func newSpan(r Range) span {
	return span{Range: r, fresh: r.Size(), walk: r.First, ending: map[GUID]GUID{}, from: map[GUID]GUID{}}
}

// take marks a fresh GUID as taken.
func (s *span) take(g GUID) {
	first, last := g, g
	if f, ok := s.from[g-1]; ok && g > s.First {
		first = f
		delete(s.from, g-1)
	}
	if l, ok := s.ending[g+1]; ok && g < s.Last {
		last = l
		delete(s.ending, g+1)
	}
	s.ending[first], s.from[last] = last, first
	s.fresh--
	if first <= s.walk && s.walk <= last {
		s.walk = s.after(last)
	}
}

// cursor is the next fresh GUID; there must be one.
func (s *span) cursor() GUID { return s.walk }

// after is the first fresh GUID behind a run that ends at last, round the end of the
// range if need be. It is meaningless when no fresh one is left.
func (s *span) after(last GUID) GUID {
	if last < s.Last {
		return last + 1 // runs are maximal: what follows one is fresh
	}
	if end, ok := s.ending[s.First]; ok {
		return min(end, s.Last-1) + 1
	}
	return s.First
}

// seek sets the walk behind g. Finding the run that g lies in is linear in the number
// of runs; it happens once, when a leader starts.
func (s *span) seek(g GUID) {
	for first, last := range s.ending {
		if first <= g && g <= last {
			s.walk = s.after(last)
			return
		}
	}
	s.walk = s.after(g)
	if end, ok := s.ending[s.walk]; ok {
		s.walk = s.after(end)
	}
}
