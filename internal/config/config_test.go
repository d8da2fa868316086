package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/config"
	"github.com/siaga-crp/siaga/internal/problem"
)

type mail struct {
	Host         string        `yaml:"host"`
	Port         int           `yaml:"port"`
	Wait         time.Duration `yaml:"wait"`
	PasswordFile string        `yaml:"password_file"`
}

type settings struct {
	Listen    string     `yaml:"listen"`
	Peers     []string   `yaml:"peers"`
	Quiet     bool       `yaml:"quiet"`
	Share     float64    `yaml:"share"`
	Level     slog.Level `yaml:"level"`
	Store     string     `yaml:"store"`
	StoreFile string     `yaml:"store_file"`
	Mail      mail       `yaml:"mail"`

	Hidden string
	Never  string `yaml:"-"`
}

func write(t *testing.T, text string) string {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("s.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "s.yaml"
}

const whole = `
listen: 127.0.0.1:1
peers:
  - a
  - b
quiet: true
share: 0.25
level: warn
store: x
mail:
  host: mail.example
  port: 25
  wait: 2d
`

func TestLoad(t *testing.T) {
	s := settings{Never: "kept"}
	r, err := config.Load(config.Sources{
		File: write(t, whole),
		Env: func(name string) (string, bool) {
			v, ok := map[string]string{"SIAGA_MAIL_PORT": "26", "SIAGA_PEERS": "c, d", "SIAGA_STORE_FILE": "f", "SIAGA_LISTEN": "", "SIAGA_SHARE": "0.5"}[name]
			return v, ok
		},
		Flag: func(key string) (string, bool) { return "--" + config.FlagName(key), key == "share" },
	}, &s)
	if err != nil || len(r.Mistakes) > 0 {
		t.Fatal(err, r)
	}
	want := settings{
		Listen: "127.0.0.1:1", Peers: []string{"c", "d"}, Quiet: true, Level: slog.LevelWarn, StoreFile: "f", Never: "kept",
		Mail: mail{Host: "mail.example", Port: 26, Wait: 48 * time.Hour},
	}
	if d := cmp.Diff(want, s); d != "" {
		t.Error(d)
	}
	for key, at := range map[string]string{
		"listen": "s.yaml:2", "mail.port": "SIAGA_MAIL_PORT", "share": "--share", "store": "", "store_file": "SIAGA_STORE_FILE", "mail.password_file": "",
	} {
		if got := r.Origin(key); got != at {
			t.Errorf("%s comes from %q, want %q", key, got, at)
		}
	}
}

// TestMistakes: each is named with its line and a fix, and all are.
func TestMistakes(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"unknown key", "lisen: x\n", `s.yaml:1: there is no setting "lisen"; fix: write listen`},
		{"hyphens", "store-file: x\n", `s.yaml:1: there is no setting "store-file"; fix: write store_file`},
		{"key of a section at the top", "port: 25\n", `s.yaml:1: there is no setting "port"; fix: write mail.port`},
		{"unknown key in a section", "mail:\n  hst: x\n", `s.yaml:2: there is no setting "mail.hst"; fix: write mail.host`},
		{"section that is a value", "mail: x\n", `s.yaml:1: here is no list of settings; fix: write each setting as "key: value" on a line of its own`},
		{"list for a value", "listen: [x]\n", `s.yaml:1: listen is not one value; fix: write one value after the colon`},
		{"map in a list", "peers: [{a: b}]\n", `s.yaml:1: peers has an entry that is not a word; fix: write one entry a line, each after "- "`},
		{"not a number", "mail:\n  port: x\n", `s.yaml:2: mail.port is "x", which is not a whole number in its range; fix: write a whole number`},
		{"not a time", "mail:\n  wait: soon\n", `s.yaml:2: mail.wait is "soon", which is not a time; fix: write a time such as 90s, 12h or 30d`},
		{"not true or false", "quiet: maybe\n", `s.yaml:1: quiet is "maybe", which is neither true nor false; fix: write true or false`},
		{"not a share", "share: .nan\n", `s.yaml:1: share is ".nan", which is not a number; fix: write a number such as 0.5`},
		{"twice", "listen: a\nlisten: b\n", `s.yaml:2: listen is given twice, first in line 1; fix: keep one of them`},
		{"alias", "listen: &a x\nstore: *a\n", "s.yaml:1: listen uses an anchor or alias; fix: write the value out\ns.yaml:2: store uses an anchor or alias; fix: write the value out"},
		{"two documents", "listen: a\n---\nlisten: b\n", `s.yaml:2: a second document begins here; fix: write all settings into one document`},
		{"a list at the top", "- a\n", `s.yaml:1: here is no list of settings; fix: write each setting as "key: value" on a line of its own`},
		{"hidden field", "Hidden: a\n", `s.yaml:1: there is no setting "Hidden"; fix: remove it; the keys are listen, peers, quiet, share, level, store, store_file, mail.host, mail.port, mail.wait, mail.password_file`},
		{"empty", "", ""},
		{"only a comment", "# nothing\n", ""},
		{"a key without a value", "listen:\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s settings
			r, err := config.Load(config.Sources{File: write(t, c.file)}, &s)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, m := range r.Mistakes {
				got = append(got, m.String())
			}
			if d := cmp.Diff(c.want, strings.Join(got, "\n")); d != "" {
				t.Error(d)
			}
			if (r.Err() == nil) != (c.want == "") {
				t.Errorf("its problem is %v", r.Err())
			}
		})
	}
}

func TestCheckSaysWhere(t *testing.T) {
	var s settings
	r, err := config.Load(config.Sources{File: write(t, "store: a\nlisten: b\n")}, &s)
	if err != nil {
		t.Fatal(err)
	}
	r.Add(config.Mistakef("listen", "write another", "%q is not good", s.Listen), config.Mistakef("store", "write another", "bad"))
	want := "2 settings are wrong: s.yaml:1: bad, write another; s.yaml:2: \"b\" is not good, write another; correct them; siaga config check lists them"
	if got := r.Err(); got == nil || got.Error() != want || problem.KindOf(got) != problem.Invalid {
		t.Errorf("got  %v\nwant %s", got, want)
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{filepath.Join(dir, "none"): "there is no settings file", dir: "is not a regular file", big: "is not a text of at most 1 MB"} {
		var s settings
		if _, err := config.Load(config.Sources{File: name}, &s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestPasswordsAreHidden(t *testing.T) {
	for _, address := range []string{"postgres://u:hunter2@db.example/x", "host=db password=hunter2", "postgres://u:a@db/x?password=hunter2", "postgres://db/x?password=hunter2"} {
		s := settings{Store: address}
		for _, x := range (&config.Report{}).Settings(&s) {
			if strings.Contains(x.Value, "hunter2") {
				t.Errorf("%s shows %s", x.Key, x.Value)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("a: &a [*a, *a]\n? {}\n: x\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(dir, "s.yaml")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		var s settings
		r, err := config.Load(config.Sources{File: path}, &s)
		if err == nil && r == nil {
			t.Fatal("neither a report nor an error")
		}
	})
}
