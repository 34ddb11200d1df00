package queue

import (
	"encoding/json"
	"maps"
	"time"
)

// activityName is a file that notes what came in lately. It is no account: what a
// fold took just before a crash may be missing, and a file that does not parse
// counts as none.
const activityName = "activity.json"

const (
	maxActivity = 64 << 10 // bytes
	maxSources  = 32       // that are kept apart
)

// Activity is what came in lately, by the source that a drop's name tells; "" is
// for those that tell none.
type Activity map[string]SourceActivity

// SourceActivity is what came in from one source.
type SourceActivity struct {
	Last  time.Time `json:"last"`  // when the last signal was folded
	Hours [24]int   `json:"hours"` // signals in the hour of Last, the hour before, and so on
}

// Activity returns what came in lately. The hours of each source end now.
func (q *Queue) Activity(now time.Time) Activity {
	a := Activity{}
	if data, _, err := q.sp.Root.ReadFile(activityName, maxActivity); err != nil || json.Unmarshal(data, &a) != nil || a == nil {
		return Activity{}
	}
	for source, s := range a {
		s.Last = time.Unix(min(s.Last.Unix(), now.Unix()), 0) // the clock may have been wrong
		a[source] = SourceActivity{s.Last, s.until(now)}
	}
	return a
}

// until returns the hours that end with that of now.
func (s SourceActivity) until(now time.Time) (hours [24]int) {
	const hour = int64(time.Hour / time.Second)
	if past := now.Unix()/hour - s.Last.Unix()/hour; past < int64(len(hours)) {
		copy(hours[past:], s.Hours[:])
	}
	return hours
}

// noteActivity adds what a fold took from each source.
func (q *Queue) noteActivity(came map[string]int, now time.Time) error {
	a := q.Activity(now)
	if len(a) >= maxSources {
		maps.DeleteFunc(a, func(_ string, s SourceActivity) bool { return s.Hours == [24]int{} })
	}
	for source, n := range came {
		s, known := a[source]
		if !known && len(a) >= maxSources {
			continue
		}
		s.Hours[0] += n
		s.Last = now
		a[source] = s
	}
	data, err := json.Marshal(a)
	if err == nil {
		err = q.sp.Root.WriteFile(activityName, data, q.sp.Tmp, false)
	}
	return err
}
