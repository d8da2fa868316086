package fingerprint_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

const (
	// A hash of the PDQ reference's regression test (facebook/ThreatExchange,
	// pdq/data/bridge-mods).
	pdqHash = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"
	// Of nothing (FIPS 180-4, RFC 1321).
	sha256Hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	md5Hash    = "d41d8cd98f00b204e9800998ecf8427e"
	// Invented: any 70 digits are of the form.
	tlshHash = "T1A12B44E90E1CD4BB3B1F84F5E5F6E5E0A1B2C3D4E5F60718293A4B5C6D7E8F901234AB"
)

// keypoints is the text form of the keypoints of a picture of noise.
func keypoints(t testing.TB) string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	img := image.NewGray(image.Rect(0, 0, 320, 240))
	for y := range 240 {
		for x := range 320 {
			if (x/9+y/7)%2 == 0 {
				img.SetGray(x, y, color.Gray{uint8(128 + r.IntN(64))})
			}
		}
	}
	f := local.Compute(img, local.Options{})
	if f.Points() == 0 {
		t.Fatal("no keypoints in the test's picture")
	}
	return f.String()
}

func TestParse(t *testing.T) {
	points := keypoints(t)
	for _, c := range []struct {
		name     string
		kind     fingerprint.Kind
		in, want string
	}{
		{"pdq", fingerprint.PDQ, pdqHash, pdqHash},
		{"pdq in capitals", fingerprint.PDQ, strings.ToUpper(pdqHash), pdqHash},
		{"pdq with spaces", fingerprint.PDQ, " \n" + pdqHash[:32] + "\u00a0" + pdqHash[32:] + "\u200b", pdqHash},
		{"pdq with its name", fingerprint.PDQ, "PDQ: " + pdqHash, pdqHash},
		{"pdq with 0x", fingerprint.PDQ, "0x" + pdqHash, pdqHash},
		{"pdq in full width", fingerprint.PDQ, strings.NewReplacer("f", "Ｆ", "8", "８").Replace(pdqHash), pdqHash},
		{"sha256", fingerprint.SHA256, sha256Hash, sha256Hash},
		{"sha256 with its name", fingerprint.SHA256, "sha256:" + sha256Hash, sha256Hash},
		{"sha256 with its name's hyphen", fingerprint.SHA256, "SHA-256: " + strings.ToUpper(sha256Hash), sha256Hash},
		{"sha256 in pairs", fingerprint.SHA256, strings.TrimSuffix(strings.Join(strings.SplitAfter(sha256Hash, "b"), ":"), ":"), sha256Hash},
		{"md5", fingerprint.MD5, "MD5:" + strings.ToUpper(md5Hash), md5Hash},
		{"audio", fingerprint.Audio, " AQAAAAEAAAAC\n", "AQAAAAEAAAAC"},
		{"local", fingerprint.Local, " " + points + "\n", points},
		{"tlsh", fingerprint.TLSH, strings.ToLower(tlshHash), tlshHash},
		{"tlsh without T1", fingerprint.TLSH, tlshHash[2:], tlshHash},
		{"vpdq", fingerprint.VPDQ, "3,97," + strings.ToUpper(pdqHash) + ",0.5\n4,96," + sha256Hash + ",1.00049", `["` + pdqHash + `,97,0.500","` + sha256Hash + `,96,1.000"]`},
		{"url", fingerprint.URL, "hxxps://www[.]youtube[.]com/watch?v=dQw4w9WgXcQ&feature=share", "https://www.youtube.com/watch?v=dQw4w9WgXcQ"},
		{"domain", fingerprint.Domain, "https://www.Example.co.id/a", "example.co.id"},
		{"channel", fingerprint.Channel, "https://t.me/s/KabarSeroja", "telegram:kabarseroja"},
		{"payment", fingerprint.Payment, "GB29 NWBK 6016 1331 9268 19", "iban:GB29NWBK60161331926819"},
		{"payment with its kind", fingerprint.Payment, "payment:iban:GB29NWBK60161331926819", "iban:GB29NWBK60161331926819"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := fingerprint.Parse(c.kind, c.in)
			if want := (fingerprint.Value{Kind: c.kind, Text: c.want}); err != nil || v != want {
				t.Fatalf("Parse(%s, %.80q)\n got %.100q, %v\nwant %.100q", c.kind, c.in, v.Text, err, want.Text)
			}
			if again, err := fingerprint.Parse(v.Kind, v.Text); err != nil || again != v {
				t.Errorf("Parse of the canonical form = %.100q, %v", again.Text, err)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name     string
		kind     fingerprint.Kind
		in, want string
	}{
		{"pdq of 63 digits", fingerprint.PDQ, pdqHash[1:], "The PDQ fingerprint has 63 characters. Enter all 64: digits and a to f"},
		{"pdq with a wrong letter", fingerprint.PDQ, "g" + pdqHash[1:], "The PDQ fingerprint has a character that is not a digit or a letter from a to f. Copy it again"},
		{"pdq with a letter of two bytes", fingerprint.PDQ, "é" + pdqHash[1:], "The PDQ fingerprint has a character that is not a digit or a letter from a to f. Copy it again"},
		{"pdq with a NUL", fingerprint.PDQ, pdqHash[:63] + "\x00", "The text has a NUL byte (a byte of value 0) in it. Copy the value again, as plain text"},
		{"no pdq", fingerprint.PDQ, " \u200b", "Enter the PDQ fingerprint: 64 digits and letters from a to f"},
		{"two pdq", fingerprint.PDQ, pdqHash + "\n" + pdqHash, "The text has more than one line. Enter one value a line"},
		{"long pdq", fingerprint.PDQ, strings.Repeat("a", 10000), "The PDQ fingerprint has too many characters. Enter 64 digits and letters from a to f"},
		{"sha256 of 40 digits", fingerprint.SHA256, sha256Hash[:40], "The SHA-256 digest has 40 characters. Enter all 64: digits and a to f"},
		{"md5 of 64 digits", fingerprint.MD5, sha256Hash, "The MD5 digest has 64 characters. Enter all 32: digits and a to f"},
		{"tlsh of 60 digits", fingerprint.TLSH, tlshHash[:62], "The TLSH fingerprint has 60 digits. Enter T1 and all 70: digits and A to F"},
		{"tlsh with a wrong letter", fingerprint.TLSH, tlshHash[:71] + "G", "The TLSH fingerprint has a character that is not a digit or a letter from A to F. Copy it again"},
		{"no tlsh", fingerprint.TLSH, "", "Enter the TLSH fingerprint: T1 and 70 digits and letters from A to F"},
		{"audio without items", fingerprint.Audio, "AQ", "The sound fingerprint cannot be read: it holds no sound. Compute it again, or use the file itself"},
		{"audio, an item cut", fingerprint.Audio, "AQAAAAEA", "The sound fingerprint cannot be read: its last item is cut. Compute it again, or use the file itself"},
		{"local", fingerprint.Local, "AQ", "The keypoint fingerprint cannot be read: 1 bytes are too few. Compute it again, or use the file itself"},
		{"local, another alphabet", fingerprint.Local, "+/+/", "The keypoint fingerprint cannot be read: it is not base64url without padding. Compute it again, or use the file itself"},
		{"vpdq", fingerprint.VPDQ, pdqHash + ",101,0", "The video fingerprint cannot be read: frame 1: its quality is not a number from 0 to 100. Compute it again, or use the file itself"},
		{"vpdq, cut off", fingerprint.VPDQ, `["` + pdqHash, "The video fingerprint cannot be read: the list of frames is cut off or not made of strings, copy it again. Compute it again, or use the file itself"},
		{"url", fingerprint.URL, "lensa/v/9", "Enter the address as the browser shows it, starting with https://"},
		{"domain", fingerprint.Domain, "co.id", "Anyone can register names under this ending, so it names nobody. Enter the domain under it, for instance example.co.id"},
		{"channel", fingerprint.Channel, "@kabarseroja", "Say which service the account is on, for instance telegram:name, x:name or youtube:@name"},
		{"payment", fingerprint.Payment, "GB29NWBK60161331926818", "The check digits of the IBAN do not fit: a character is wrong, or two have changed places. Compare it with the source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := fingerprint.Parse(c.kind, c.in)
			if err == nil || v != (fingerprint.Value{}) {
				t.Fatalf("Parse(%s, %.80q) = %.80q, %v, want an error", c.kind, c.in, v.Text, err)
			}
			var syntax *fingerprint.SyntaxError
			if !errors.Is(err, fingerprint.ErrSyntax) || !errors.As(err, &syntax) || syntax.Kind != c.kind {
				t.Errorf("error %#v is no *SyntaxError of kind %s", err, c.kind)
			}
			if err.Error() != c.want {
				t.Errorf("Parse(%s, %.80q):\n got %s\nwant %s", c.kind, c.in, err, c.want)
			}
		})
	}
	for _, k := range []fingerprint.Kind{"", "photo", "PDQ"} {
		if v, err := fingerprint.Parse(k, pdqHash); !errors.Is(err, fingerprint.ErrKind) || v != (fingerprint.Value{}) {
			t.Errorf("Parse(%q) = %v, %v, want ErrKind", k, v, err)
		}
	}
}

// TestParseAgreesWithThePackages holds the short cut for hex digits to the
// parsers of the kinds' own packages.
func TestParseAgreesWithThePackages(t *testing.T) {
	text := rapid.OneOf(
		rapid.StringMatching(`[0-9a-f]{64}`), rapid.StringMatching(`[0-9a-fA-F]{64}`), rapid.StringMatching(`[0-9a-f]{32}`),
		rapid.StringMatching(` ?[0-9a-fA-F]{30,34} ?`), rapid.StringMatching(` ?[0-9a-gA-G]{62,66}\n?`), rapid.String())
	rapid.Check(t, func(t *rapid.T) {
		s := text.Draw(t, "text")
		for _, k := range []fingerprint.Kind{fingerprint.PDQ, fingerprint.SHA256, fingerprint.MD5} {
			var own string
			var ownErr error
			switch k {
			case fingerprint.PDQ:
				h, err := pdq.Parse(s)
				own, ownErr = h.String(), err
			case fingerprint.SHA256:
				h, err := digest.ParseSHA256(s)
				own, ownErr = h.String(), err
			case fingerprint.MD5:
				h, err := digest.ParseMD5(s)
				own, ownErr = h.String(), err
			}
			v, err := fingerprint.Parse(k, s)
			if ownErr == nil && (err != nil || v.Text != own) {
				t.Fatalf("Parse(%s, %q) = %q, %v, the package says %q", k, s, v.Text, err, own)
			}
			if err == nil {
				if _, err := hex.DecodeString(v.Text); err != nil || v.Text != strings.ToLower(v.Text) {
					t.Fatalf("Parse(%s, %q) = %q", k, s, v.Text)
				}
			}
		}
	})
}

func TestGuess(t *testing.T) {
	type values = []fingerprint.Value
	points := keypoints(t)
	for _, c := range []struct {
		name, in string
		want     values
	}{
		{"half of the bits set", pdqHash, values{{fingerprint.PDQ, pdqHash}, {fingerprint.SHA256, pdqHash}}},
		{"fewer bits set", sha256Hash, values{{fingerprint.SHA256, sha256Hash}, {fingerprint.PDQ, sha256Hash}}},
		{"named digest", "sha256:" + pdqHash, values{{fingerprint.SHA256, pdqHash}}},
		{"named hash", "pdq: " + strings.ToUpper(sha256Hash), values{{fingerprint.PDQ, sha256Hash}}},
		{"32 digits", strings.ToUpper(md5Hash), values{{fingerprint.MD5, md5Hash}}},
		{"tlsh", tlshHash, values{{fingerprint.TLSH, tlshHash}}},
		{"vpdq", pdqHash + ",100,0", values{{fingerprint.VPDQ, `["` + pdqHash + `,100,0.000"]`}}},
		{"local", points, values{{fingerprint.Local, points}}},
		{"address", "https://news.example.org/a", values{{fingerprint.URL, "https://news.example.org/a"}, {fingerprint.Domain, "news.example.org"}}},
		{"address of a channel", "t.me/KabarSeroja", values{{fingerprint.URL, "https://t.me/kabarseroja"}, {fingerprint.Channel, "telegram:kabarseroja"}, {fingerprint.Domain, "t.me"}}},
		{"domain", "example.org", values{{fingerprint.Domain, "example.org"}, {fingerprint.URL, "https://example.org/"}}},
		{"disguised domain", "example[.]org", values{{fingerprint.Domain, "example.org"}, {fingerprint.URL, "https://example.org/"}}},
		{"channel", "telegram:@KabarSeroja", values{{fingerprint.Channel, "telegram:kabarseroja"}}},
		{"fediverse handle", "@kabar@social.example.org", values{{fingerprint.Channel, "fediverse:kabar@social.example.org"}}},
		{"IBAN", "GB29 NWBK 6016 1331 9268 19", values{{fingerprint.Payment, "iban:GB29NWBK60161331926819"}}},
		{"Bitcoin", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", values{{fingerprint.Payment, "btc:1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"}}},
		{"wallet", "gcash: 0917 123 4567", values{{fingerprint.Payment, "wallet.gcash:+639171234567"}}},
		{"magnet", "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a", values{{fingerprint.URL, "magnet:?xt=urn:btih:c12fe1c06bba254a9dc9f519b335aa7c1367a88a"}}},
		{"handle alone", "@kabarseroja", nil},
		{"word", "seroja", nil},
		{"sentence", "see the market at night", nil},
		{"nothing", "", nil},
		{"63 digits", pdqHash[1:], nil},
		{"NUL", "https://example.org/\x00", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := fingerprint.Guess(c.in)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("Guess(%.80q) (-want +got):\n%s", c.in, diff)
			}
		})
	}
}

// TestValueHidesPayments prints a value as a program may do by accident.
func TestValueHidesPayments(t *testing.T) {
	v := fingerprint.Value{Kind: fingerprint.Payment, Text: "iban:GB29NWBK60161331926819"}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
	for _, s := range []string{v.String(), v.GoString(), fmt.Sprint(v), fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v), fmt.Sprint([]fingerprint.Value{v}), log.String()} {
		if strings.Contains(s, "60161331") {
			t.Errorf("%q shows the handle", s)
		}
	}
	for _, c := range []struct {
		v    fingerprint.Value
		want string
	}{
		{v, "payment iban:GB…6819"},
		{fingerprint.Value{Kind: fingerprint.Payment, Text: "not a handle 60161331"}, "payment …"},
		{fingerprint.Value{Kind: fingerprint.MD5, Text: md5Hash}, "md5 " + md5Hash},
		{fingerprint.Value{}, ""},
	} {
		if got := c.v.String(); got != c.want {
			t.Errorf("String = %q, want %q", got, c.want)
		}
	}
	if s := log.String(); !strings.Contains(s, "v.kind=payment v.value=***") {
		t.Errorf("log line %q", s)
	}
}

func TestParseAllocatesNothing(t *testing.T) {
	for _, v := range []fingerprint.Value{
		{Kind: fingerprint.PDQ, Text: pdqHash},
		{Kind: fingerprint.SHA256, Text: sha256Hash},
		{Kind: fingerprint.MD5, Text: md5Hash},
		{Kind: fingerprint.URL, Text: "https://news.example.org/2026/03/02/kota-seroja"},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if got, err := fingerprint.Parse(v.Kind, v.Text); err != nil || got != v {
				t.Fatal(got, err)
			}
		}); n != 0 {
			t.Errorf("Parse of a canonical %s allocates %v times", v.Kind, n)
		}
	}
}

// seeds are a value of every kind and some that are none.
func seeds(f *testing.F) {
	for _, s := range []string{
		"", pdqHash, strings.ToUpper(sha256Hash), "md5:" + md5Hash, tlshHash, keypoints(f)[:200], "hxxps://t[.]me/KabarSeroja/5?single#x", "example.co.id", "youtube:@kabar",
		"GB29 NWBK 6016 1331 9268 19", "gcash: 0917 123 4567", "sha256:sha256:" + sha256Hash, "url:url:https://example.org/", "\u202e" + pdqHash + "\x00",
		`["` + pdqHash + `,100,0.000"]`,
	} {
		f.Add(s)
	}
}

func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		for _, k := range fingerprint.Kinds() {
			v, err := fingerprint.Parse(k, text)
			if err != nil {
				checkError(t, k, v, err)
				continue
			}
			if v.Kind != k || v.Text == "" || !utf8.ValidString(v.Text) {
				t.Fatalf("Parse(%s, %q) = %q", k, text, v.Text)
			}
			if again, err := fingerprint.Parse(k, v.Text); err != nil || again != v {
				t.Fatalf("Parse(%s, %q) = %q, Parse of that = %q, %v", k, text, v.Text, again.Text, err)
			}
		}
	})
}

func checkError(t *testing.T, k fingerprint.Kind, v fingerprint.Value, err error) {
	t.Helper()
	if v != (fingerprint.Value{}) || !errors.Is(err, fingerprint.ErrSyntax) {
		t.Fatalf("%s: value %q with error %v", k, v.Text, err)
	}
	s := err.Error()
	first, _ := utf8.DecodeRuneInString(s)
	if !unicode.IsUpper(first) || strings.HasSuffix(s, ".") || strings.Contains(s, "\n") || len(s) > 400 {
		t.Fatalf("%s: the error is not one sentence for a person: %q", k, s)
	}
}

func FuzzGuess(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text string) {
		seen := make(map[fingerprint.Value]bool)
		for _, v := range fingerprint.Guess(text) {
			if seen[v] {
				t.Fatalf("Guess(%q) offers %v twice", text, v)
			}
			seen[v] = true
			if again, err := fingerprint.Parse(v.Kind, v.Text); err != nil || again != v {
				t.Fatalf("Guess(%q) offers %q, Parse of that = %q, %v", text, v.Text, again.Text, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, v := range []fingerprint.Value{
		{Kind: fingerprint.PDQ, Text: pdqHash},
		{Kind: fingerprint.SHA256, Text: sha256Hash},
		{Kind: fingerprint.URL, Text: "https://news.example.org/2026/03/02/kota-seroja"},
		{Kind: fingerprint.Channel, Text: "telegram:kabarseroja"},
		{Kind: fingerprint.Payment, Text: "iban:GB29NWBK60161331926819"},
		{Kind: fingerprint.TLSH, Text: tlshHash},
	} {
		b.Run("kind="+string(v.Kind), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := fingerprint.Parse(v.Kind, v.Text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
