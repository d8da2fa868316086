package problem

import (
	"encoding/json"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The words are taken from the libraries' own complaints, so that a new version
// of them that says it otherwise is found here.
func TestLibrariesInPlainWords(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":`: "ends too early", `{bad}`: "'b' where a name in double quotes", `x`: "'x' where a value should begin", `{} x`: "'x' after the end",
		`{"a" 1}`: "'1' where a colon", `{"a":1 2}`: "'2' where a comma or }", `[1 2]`: "'2' where a comma or ]", "\"a\tb\"": `'\t' inside a text`, `"\q"`: "'q' after a backslash",
	} {
		var v any
		err := json.Unmarshal([]byte(in), &v)
		if err == nil {
			t.Fatalf("%s is JSON", in)
		}
		if got := JSON(err.Error()); !strings.Contains(got, want) {
			t.Errorf("%s: %s", in, got)
		}
	}
	for in, want := range map[string]string{
		"a: [": "a value is missing", "a: 1\nb: 'x": "ends inside a quoted text", "a: @x": "nothing can begin with it", "a: b: c": `there is a ":"`,
	} {
		var v any
		err := yaml.Unmarshal([]byte(in), &v)
		if err == nil {
			t.Fatalf("%q is YAML", in)
		}
		text := strings.TrimPrefix(err.Error(), "yaml: ")
		if strings.HasPrefix(text, "line ") {
			_, text, _ = strings.Cut(text, ": ")
		}
		if got := YAML(text); !strings.Contains(got, want) {
			t.Errorf("%q: %s", in, got)
		}
	}
}
