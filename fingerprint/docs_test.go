package fingerprint_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint"
)

// TestFormatDocument reads every example of docs/format/fingerprints.md: the
// rows "| `read` | `canonical` |" and the blocks "canonical KIND" of each kind's
// section.
func TestFormatDocument(t *testing.T) {
	data, err := os.ReadFile("../docs/format/fingerprints.md")
	if err != nil {
		t.Fatal(err)
	}
	heading := regexp.MustCompile("^## `([a-z0-9]+)`$")
	row := regexp.MustCompile("^\\| `([^`]+)` \\| `([^`]+)` \\|$")
	examples := make(map[fingerprint.Kind]int)
	check := func(k fingerprint.Kind, in, want string) {
		t.Helper()
		examples[k]++
		v, err := fingerprint.Parse(k, in)
		if err != nil || v.Text != want {
			t.Errorf("Parse(%s, %q)\n got %s, %v\nwant %s", k, in, v.Text, err, want)
		}
		if again, err := fingerprint.Parse(k, want); err != nil || again.Text != want {
			t.Errorf("%s %q is not canonical: %q, %v", k, want, again.Text, err)
		}
	}
	var kind, block fingerprint.Kind
	rows := false // in a table of examples
	for line := range strings.Lines(string(data)) {
		line = strings.TrimRight(line, "\n")
		switch m := heading.FindStringSubmatch(line); {
		case m != nil:
			kind = fingerprint.Kind(m[1])
		case strings.HasPrefix(line, "```canonical "):
			block = fingerprint.Kind(strings.TrimPrefix(line, "```canonical "))
		case strings.HasPrefix(line, "```"):
			block = ""
		case block != "":
			check(block, line, line)
		case line == "| read | canonical |":
			rows = true
		case !strings.HasPrefix(line, "|"):
			rows = false
		case rows && !strings.HasPrefix(line, "| --- "):
			m := row.FindStringSubmatch(line)
			if m == nil {
				t.Errorf("not an example: %s", line)
				continue
			}
			check(kind, m[1], m[2])
		}
	}
	for _, k := range fingerprint.Kinds() {
		if examples[k] == 0 {
			t.Errorf("no example of kind %s", k)
		}
	}
}

// TestGlossaryNamesTheKinds holds the glossary to the closed list of kinds.
func TestGlossaryNamesTheKinds(t *testing.T) {
	data, err := os.ReadFile("../docs/GLOSSARY.md")
	if err != nil {
		t.Fatal(err)
	}
	words := map[fingerprint.Kind]string{
		fingerprint.PDQ: "| PDQ |", fingerprint.VPDQ: "| vPDQ |", fingerprint.Local: "| local |", fingerprint.Audio: "| audio |", fingerprint.SHA256: "| SHA-256, MD5 |", fingerprint.MD5: "| SHA-256, MD5 |",
		fingerprint.TLSH: "| TLSH |", fingerprint.URL: "| url, domain |", fingerprint.Domain: "| url, domain |", fingerprint.Channel: "| channel |", fingerprint.Payment: "| payment handle |",
	}
	for _, k := range fingerprint.Kinds() {
		if w := words[k]; w == "" || !strings.Contains(string(data), w) {
			t.Errorf("the glossary has no entry %q for kind %s", w, k)
		}
	}
	// Every source that is cited is listed.
	for _, m := range regexp.MustCompile(`\[(\d+)\]`).FindAllStringSubmatch(string(data), -1) {
		if !strings.Contains(string(data), "\n"+m[1]+". ") {
			t.Errorf("source [%s] is not listed", m[1])
		}
	}
}
