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

// SaveFolder writes the state of an edge's folder.
func SaveFolder(dir, secret string, s *State) error {
	d, err := openFolder(dir, secret)
	if err != nil {
		return err
	}
	defer d.lock.Close() //nolint:errcheck // a test
	gen, err := d.begin()
	if err != nil {
		return err
	}
	_, err = d.save(s.t, meta{}, gen)
	return err
}

// LoadFolder makes the state of an edge's folder the matcher's.
func LoadFolder(dir, secret string, m *Matcher) error {
	d, err := openFolder(dir, secret)
	if err != nil {
		return err
	}
	defer d.lock.Close() //nolint:errcheck // a test
	t, _, err := d.load()
	if err == nil {
		m.adopt(t, nil)
	}
	return err
}

// AppendUpload and ParseUpload are look-back's records, for their tests.
var (
	AppendUpload = appendUpload
	ParseUpload  = parseUpload
)
