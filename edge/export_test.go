package edge

// TakeTallies is for tests.
func (m *Matcher) TakeTallies(before int64, limit int) []Tally { return m.tally.take(before, limit) }

// StoreHook has fn called before each step of storing in a folder, which fails
// if fn does. The function it returns takes it away again.
func StoreHook(dir string, fn func(step string) error) func() {
	hook := func(d, step string) error {
		if d != dir {
			return nil
		}
		return fn(step)
	}
	storeHook.Store(&hook)
	return func() { storeHook.Store(nil) }
}
