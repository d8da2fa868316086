package media

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path"
	"sort"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/ledongthuc/pdf"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/text"
)

// maxText is the most text that is taken from a document, in bytes. A book of
// a thousand pages has 3 MB.
const maxText = 8 << 20

// documents are the names that a zip file may turn out to have.
var documents = []string{"docx", "xlsx", "pptx", "odt", "ods", "odp", "epub"}

func isDocumentName(s string) bool {
	for _, d := range documents {
		if s == d {
			return true
		}
	}
	return false
}

// text fingerprints a text, or the text of a document.
func (d *decoder) text(set *fingerprint.Set) {
	var s []byte
	var err error
	switch d.format.Name {
	case "pdf":
		s, err = d.pdf()
	case "zip":
		set.Format, s, err = d.office()
		if set.Format == "zip" && !errors.Is(err, errTypes) {
			return // an archive: nothing that a viewer shows
		}
	case "ole":
		err = errOld
	default:
		s, err = d.plain()
	}
	switch {
	case errors.Is(err, errOld):
		set.Unknown, set.Fix = "this is an office document of the old kind, whose text we do not read", "save it as docx, xlsx or pptx, or as PDF, and try that"
		return
	case errors.Is(err, pdf.ErrInvalidPassword):
		set.Unknown, set.Fix = "this document is encrypted", "open it with its password, save it without, and try that"
		return
	case err != nil && len(s) == 0:
		set.Unknown, set.Fix = unknownDamaged(d.format)
		return
	}
	if d.format.Class == Document {
		s = []byte(text.Normalize(string(s)))
	}
	h, short := text.Sum(s)
	if short == nil {
		set.TLSH = h.String()
	}
	switch {
	case err != nil:
		set.Unknown = "only a part of its text could be read"
		set.Fix = "review it by eye; save it again in a common form, in parts if it is long, and try those"
	case short == nil:
	case d.format.Class == Document:
		// A scan is pictures only; a viewer shows them, and we did not look.
		set.Unknown = "this document has too little text to be fingerprinted; it may hold pictures"
		set.Fix = "save its pages as pictures and try those"
	}
}

var (
	errOld   = errors.New("media: an old office document")
	errTypes = errors.New("media: a zip file that says its type again and again")
	errCut   = errors.New("media: a text of which the rest was not read, as it is too long or slow")
)

// plain returns a text's bytes as they are, so that the reference tool run on
// the file agrees; UTF-16 becomes UTF-8, and a byte order mark is dropped.
func (d *decoder) plain() ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(d.start(), maxText))
	if err == nil && d.Size > maxText {
		err = errCut
	}
	if rest, ok := bytes.CutPrefix(b, []byte("\xef\xbb\xbf")); ok {
		return rest, err
	}
	if len(b) < 2 || !(b[0] == 0xff && b[1] == 0xfe || b[0] == 0xfe && b[1] == 0xff) {
		return b, err
	}
	low := 0
	if b[0] == 0xfe {
		low = 1
	}
	units := make([]uint16, 0, len(b)/2)
	for b = b[2:]; len(b) >= 2; b = b[2:] {
		units = append(units, uint16(b[low])|uint16(b[1-low])<<8)
	}
	out := make([]byte, 0, len(units))
	for _, r := range utf16.Decode(units) {
		out = utf8.AppendRune(out, r)
	}
	return out, err
}

// maxPages is how many pages of a PDF are read.
const maxPages = 10000

// pdf returns the text of a PDF's pages.
func (d *decoder) pdf() (out []byte, err error) {
	r, err := pdf.NewReader(d.src, d.Size)
	if err != nil {
		return nil, err
	}
	fonts := make(map[string]*pdf.Font)
	for i := 1; i <= r.NumPage(); i++ {
		if i > maxPages || len(out) > maxText || time.Now().After(d.deadline) {
			err = errCut
			break
		}
		s, perr := pageText(r, i, fonts)
		if perr != nil {
			err = perr
			continue
		}
		out = append(append(out, s...), '\n')
	}
	if len(out) > maxText {
		out, err = out[:maxText], errCut
	}
	return out, err
}

// pageText returns the text of one page; what its parser panics at costs this
// page only.
func pageText(r *pdf.Reader, i int, fonts map[string]*pdf.Font) (s string, err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("media: a damaged page")
		}
	}()
	p := r.Page(i)
	if p.V.IsNull() {
		return "", nil
	}
	return p.GetPlainText(fonts)
}

// office returns what a zip file is and the text of the document in it. The
// parts of a document are XML; a paragraph's or cell's end is a line's.
func (d *decoder) office() (name string, out []byte, err error) {
	z, err := zip.NewReader(d.src, d.Size)
	if err != nil {
		return "zip", nil, err
	}
	name, wanted, err := officeParts(z)
	if name == "zip" || err != nil {
		return name, nil, err
	}
	for _, f := range wanted {
		if len(out) >= maxText || time.Now().After(d.deadline) {
			err = errCut
			break
		}
		part, perr := partText(f, maxText-int64(len(out)))
		out = append(out, part...)
		if perr != nil {
			err = perr
		}
	}
	return name, out, err
}

// maxTypes is how many entries that say the file's type are read; a document
// has one.
const maxTypes = 100

// officeParts names the kind of document and its parts with text, in order. It
// looks at all names, as a viewer finds a document behind any number of others.
func officeParts(z *zip.Reader) (string, []*zip.File, error) {
	prefixes := map[string][]string{
		"docx": {"word/document", "word/footnotes", "word/endnotes"},
		"xlsx": {"xl/sharedStrings", "xl/worksheets/sheet"},
		"pptx": {"ppt/slides/slide", "ppt/notesSlides/notesSlide"},
	}
	name, types := "zip", 0
	for _, f := range z.File {
		switch {
		case f.Name == "word/document.xml" || f.Name == "word/document2.xml":
			name = "docx"
		case f.Name == "xl/workbook.xml":
			name = "xlsx"
		case f.Name == "ppt/presentation.xml":
			name = "pptx"
		case f.Name == "mimetype":
			if types++; types > maxTypes {
				return "zip", nil, errTypes
			}
			b, _ := readPart(f, 100) // an unreadable type is no type
			switch t := string(bytes.TrimSpace(b)); {
			case t == "application/epub+zip":
				name = "epub"
			case strings.HasPrefix(t, "application/vnd.oasis.opendocument.text"):
				name = "odt"
			case strings.HasPrefix(t, "application/vnd.oasis.opendocument.spreadsheet"):
				name = "ods"
			case strings.HasPrefix(t, "application/vnd.oasis.opendocument.presentation"):
				name = "odp"
			}
		}
	}
	var parts []*zip.File
	for _, f := range z.File {
		switch name {
		case "odt", "ods", "odp":
			if f.Name == "content.xml" {
				parts = append(parts, f)
			}
		case "epub":
			switch path.Ext(f.Name) {
			case ".xhtml", ".html", ".htm":
				parts = append(parts, f)
			}
		default:
			for _, p := range prefixes[name] {
				if strings.HasPrefix(f.Name, p) && strings.HasSuffix(f.Name, ".xml") {
					parts = append(parts, f)
				}
			}
		}
	}
	sort.SliceStable(parts, func(i, j int) bool {
		a, b := parts[i].Name, parts[j].Name
		if len(a) != len(b) && path.Dir(a) == path.Dir(b) {
			return len(a) < len(b) // slide2 before slide10
		}
		return a < b
	})
	return name, parts, nil
}

func readPart(f *zip.File, limit int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, limit))
}

// maxExpansion is how many times its compressed size a part is read to.
const maxExpansion = 1000

// partText returns the characters of one XML part, about limit bytes of it at
// most, and errCut when there is more.
func partText(f *zip.File, limit int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	bound := min(4*limit, int64(min(f.CompressedSize64, 1<<40))*maxExpansion+1<<10)
	in := &io.LimitedReader{R: r, N: bound}
	x := xml.NewDecoder(in)
	x.Strict, x.AutoClose, x.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var out []byte
	skip := 0
	for int64(len(out)) < limit {
		t, err := x.RawToken()
		if errors.Is(err, io.EOF) && in.N > 0 {
			return out, nil
		}
		if err != nil {
			if in.N == 0 {
				err = errCut
			}
			return out, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "script", "style", "instrText", "delText":
				skip++
			case "tab", "br", "s", "line-break":
				out = append(out, ' ')
			}
		case xml.EndElement:
			switch t.Name.Local {
			case "script", "style", "instrText", "delText":
				skip = max(skip-1, 0)
			case "p", "h", "si", "c", "row", "tr", "div", "li", "h1", "h2", "h3":
				out = append(out, '\n')
			}
		case xml.CharData:
			if skip == 0 {
				out = append(out, t...)
			}
		}
	}
	return out, errCut
}
