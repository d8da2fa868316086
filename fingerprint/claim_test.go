package fingerprint_test

import (
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint"
)

// TestClaimed wants a file that claims to be media and is none to be unknown,
// and every other one of which only the exact bytes are known to say so.
func TestClaimed(t *testing.T) {
	picture := fingerprint.Set{Format: "jpeg", Picture: &fingerprint.Picture{}}
	for _, c := range []struct {
		name, file, mediaType string
		set                   fingerprint.Set
		unknown, note         string
	}{
		{"noise named as a picture", "holiday.JPG", "", fingerprint.Set{}, "the name ends in .jpg, but this is no picture that is known here", ""},
		{"noise named as a video", "a/b.mp4", "application/octet-stream", fingerprint.Set{}, "ends in .mp4, but this is no video", ""},
		{"noise sent as a picture", "", "image/png; q=1", fingerprint.Set{}, "it was sent as image/png, but this is no picture", ""},
		{"a text named as sound", "x.mp3", "", fingerprint.Set{Format: "text", TLSH: "T1"}, "but this is a text", ""},
		{"an error page named as a picture", "x.png", "", fingerprint.Set{Format: "html"}, "but this is a web page", ""},
		{"an archive sent as a video", "", "video/mp4", fingerprint.Set{Format: "zip"}, "but this is an archive", ""},
		{"a document named as a picture", "x.webp", "", fingerprint.Set{Format: "pdf"}, "but this is a document (pdf)", ""},
		{"a damaged document", "x.DOCX", "", fingerprint.Set{Format: "zip"}, "the name ends in .docx, but this is an archive in which no document could be read", ""},
		{"noise named as a document", "x.pdf", "", fingerprint.Set{}, "the name ends in .pdf, but this is no document", ""},
		{"an archive sent as a document", "", "application/vnd.oasis.opendocument.text; v=1", fingerprint.Set{Format: "zip"}, "it was sent as application/vnd.oasis.opendocument.text", ""},
		{"noise named as an archive, sent as a document", "x.bin", "application/pdf", fingerprint.Set{}, "it was sent as application/pdf", ""},
		{"a table that a browser calls a sheet", "x.csv", "application/vnd.ms-excel", fingerprint.Set{Format: "text", TLSH: "T1"}, "", ""},
		{"a text named as a document", "x.doc", "", fingerprint.Set{Format: "text", TLSH: "T1"}, "", ""},
		{"a document", "x.docx", "application/pdf", fingerprint.Set{Format: "docx", TLSH: "T1"}, "", ""},
		{"a picture by another name", "x.mp4", "video/mp4", picture, "", ""},
		{"a program", "main.ts", "", fingerprint.Set{Format: "text", TLSH: "T1"}, "", ""},
		{"an archive", "x.zip", "application/zip", fingerprint.Set{Format: "zip"}, "", "an archive"},
		{"a short text", "x.txt", "text/plain", fingerprint.Set{Format: "text"}, "", "too short"},
		{"a text", "x.txt", "", fingerprint.Set{Format: "text", TLSH: "T1"}, "", ""},
		{"noise", "x", "", fingerprint.Set{}, "", "no picture, video, sound, document or text"},
		{"noise with a bad type", "x", "image", fingerprint.Set{}, "", "no picture, video, sound, document or text"},
		{"unknown already", "x.jpg", "", fingerprint.Set{Unknown: "damaged", Fix: "another"}, "damaged", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.set
			s.Claimed(c.file, c.mediaType)
			if (c.unknown == "") != (s.Unknown == "") || !strings.Contains(s.Unknown, c.unknown) || (s.Unknown == "") != (s.Fix == "") {
				t.Errorf("unknown %q with fix %q, want %q", s.Unknown, s.Fix, c.unknown)
			}
			if (c.note == "") != (s.Note == "") || !strings.Contains(s.Note, c.note) {
				t.Errorf("note %q, want %q", s.Note, c.note)
			}
			if want := c.unknown == "" && (s.Format != "" || s.Picture != nil); s.Looked() != want {
				t.Errorf("looked %t, want %t", s.Looked(), want)
			}
		})
	}
}
