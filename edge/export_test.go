package edge

// TakeTallies is for tests.
func (m *Matcher) TakeTallies(before int64, limit int) []Tally { return m.tally.take(before, limit) }
