package web

// Patterns lists the routes of the table, for tests that walk all of them.
func Patterns() []string {
	var out []string
	for _, rt := range (&Site{}).routes() {
		out = append(out, rt.pattern)
	}
	return out
}
