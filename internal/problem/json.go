package problem

import "regexp"

var jsonCharacter = regexp.MustCompile(`^invalid character ('.+'|".+") (.+)$`)

// jsonWords say what may stand where encoding/json met something else.
var jsonWords = map[string]string{
	"looking for beginning of object key string": "where a name in double quotes should begin",
	"looking for beginning of value":             "where a value should begin: a text in double quotes, a number, true, false, null, { or [",
	"after top-level value":                      "after the end of the JSON",
	"after object key":                           "where a colon should follow a name",
	"after object key:value pair":                "where a comma or } should follow a value",
	"after array element":                        "where a comma or ] should follow a value",
	"in string literal":                          "inside a text, where it must be written with a backslash",
	"in string escape code":                      "after a backslash, where it means nothing",
}

// JSON puts what encoding/json complains of into plain words; what it does not
// know stays as it is.
func JSON(text string) string {
	if text == "unexpected end of JSON input" || text == "unexpected EOF" {
		return "the JSON ends too early: a bracket, a brace or a quotation mark is not closed"
	}
	if m := jsonCharacter.FindStringSubmatch(text); m != nil {
		if where, ok := jsonWords[m[2]]; ok {
			return "the JSON has " + m[1] + " " + where
		}
	}
	return text
}
