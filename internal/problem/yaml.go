package problem

// yamlWords are what the YAML library says, in words for who wrote the file.
var yamlWords = map[string]string{
	"did not find expected node content":              "a value is missing, or begins with a character that needs quotes",
	"did not find expected key":                       "this line is neither a setting nor indented like the ones around it",
	"did not find expected '-' indicator":             "this line of a list does not begin with \"- \", or is not indented like the others",
	"could not find expected ':'":                     "a name has no \":\" after it",
	"mapping values are not allowed in this context":  "there is a \":\" where none can be; a text that has one needs quotes",
	"found character that cannot start any token":     "a character stands where nothing can begin with it; a text that begins so needs quotes",
	"found unexpected end of stream":                  "the file ends inside a quoted text",
	"did not find expected <document start>":          "something follows where the file should end",
	"found unknown escape character":                  "a backslash in double quotes is followed by a letter that means nothing; write two backslashes, or use single quotes",
	"found a tab character that violates indentation": "a tab stands where spaces are needed",
	"found undefined tag handle":                      "a \"!\" begins a value; put the value in quotes",
	"found unexpected document indicator":             "a line of \"---\" or \"...\" stands inside a quoted text",
}

// YAML puts what the YAML library complains of into plain words; what it does
// not know stays as it is.
func YAML(text string) string {
	if plain, ok := yamlWords[text]; ok {
		return plain
	}
	return text
}
