package digest_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/fingerprint/digest"
)

// Test vectors: FIPS 180-4 by NIST's "SHA Test Vectors for Hashing Byte-Oriented
// Messages" and the example of the same standard for a million times "a"; MD5 by
// RFC 1321, appendix A.5 (the million by common implementations).
func TestSum(t *testing.T) {
	for _, c := range []struct{ name, in, sha256, md5 string }{
		{"nothing", "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "d41d8cd98f00b204e9800998ecf8427e"},
		{"a", "a", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "0cc175b9c0f1b6a831c399e269772661"},
		{"abc", "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "900150983cd24fb0d6963f7d28e17f72"},
		{"two blocks", "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1", "8215ef0796a20bcaaae116d3876c664a"},
		{"a million", strings.Repeat("a", 1e6), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", "7707d6ae4e027c70eea2a935c2296f21"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, m, n, err := digest.Sum(iotest.OneByteReader(strings.NewReader(c.in[:min(len(c.in), 1000)])))
			if len(c.in) > 1000 {
				s, m, n, err = digest.Sum(strings.NewReader(c.in))
			}
			if err != nil || n != int64(len(c.in)) || s.String() != c.sha256 || m.String() != c.md5 {
				t.Errorf("Sum = %v, %v, %d, %v, want %s, %s, %d", s, m, n, err, c.sha256, c.md5, len(c.in))
			}
		})
	}
}

func TestSumReturnsTheReadersError(t *testing.T) {
	broken := errors.New("the disk went away")
	s, m, n, err := digest.Sum(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || n != 3 || s != (digest.SHA256{}) || m != (digest.MD5{}) {
		t.Errorf("Sum = %v, %v, %d, %v, want zero digests, 3, %v", s, m, n, err, broken)
	}
}

func TestParse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 48, 48).Draw(t, "bytes")
		s, m := digest.SHA256(b[:32]), digest.MD5(b[32:])
		for _, f := range []func(string) string{strings.ToLower, strings.ToUpper, func(s string) string { return " " + s + "\n" }} {
			if got, err := digest.ParseSHA256(f(s.String())); err != nil || got != s {
				t.Fatalf("ParseSHA256(%q) = %v, %v", f(s.String()), got, err)
			}
			if got, err := digest.ParseMD5(f(m.String())); err != nil || got != m {
				t.Fatalf("ParseMD5(%q) = %v, %v", f(m.String()), got, err)
			}
		}
	})
}

func TestParseRefuses(t *testing.T) {
	for _, in := range []string{"", "abc", strings.Repeat("a", 31), strings.Repeat("a", 33), strings.Repeat("a", 63), strings.Repeat("a", 65), strings.Repeat("g", 32), strings.Repeat("g", 64), strings.Repeat("é", 16), strings.Repeat("a", 63) + "\x00"} {
		s, err := digest.ParseSHA256(in)
		if !errors.Is(err, digest.ErrSyntax) || s != (digest.SHA256{}) {
			t.Errorf("ParseSHA256(%q) = %v, %v, want ErrSyntax", in, s, err)
		}
		m, err := digest.ParseMD5(in)
		if !errors.Is(err, digest.ErrSyntax) || m != (digest.MD5{}) {
			t.Errorf("ParseMD5(%q) = %v, %v, want ErrSyntax", in, m, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
	f.Add("D41D8CD98F00B204E9800998ECF8427E")
	f.Add(" \x00g")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := digest.ParseSHA256(text); err == nil && s.String() != strings.ToLower(strings.TrimSpace(text)) {
			t.Fatalf("ParseSHA256(%q) = %v", text, s)
		}
		if m, err := digest.ParseMD5(text); err == nil && m.String() != strings.ToLower(strings.TrimSpace(text)) {
			t.Fatalf("ParseMD5(%q) = %v", text, m)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := digest.Sum(bytes.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}
