package web

// Speaker returns a function that says texts of the catalogue, for what is not
// a page: messages to duty contacts. args are names and values in turn; a
// language that there is not falls back to English.
func Speaker() (func(lang, id string, args ...any) string, error) {
	c, err := loadCatalogue(files)
	if err != nil {
		return nil, err
	}
	return func(lang, id string, args ...any) string { return unmark.Replace(c.pick(lang, "").text(id, nil, args)) }, nil
}
