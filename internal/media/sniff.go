package media

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"
)

// HeadBytes is how many bytes from the start of a file Sniff looks at.
const HeadBytes = 4096

// Class says what a format holds and so which decoder it goes to.
type Class uint8

// The classes.
const (
	Other    Class = iota // nothing that a viewer shows, as far as we know
	Picture               // one picture, or an animated one
	Video                 // moving pictures, for ffmpeg
	Audio                 // sound only
	Document              // text with a layout: PDF, office files
	Text                  // plain text of any kind
)

// Format is what the bytes of a file are.
type Format struct {
	Name  string // "jpeg", "png", "mp4", "pdf", "text", …; "" if not recognised
	Class Class

	demuxers string // ffmpeg's names for the container, the one to force first; "" if ffmpeg is not asked
	inGo     bool   // decoded in Go
}

// formats lists every format that Sniff can name.
var formats = func() map[string]Format {
	list := []Format{
		{Name: "jpeg", Class: Picture, inGo: true, demuxers: "jpeg_pipe"},
		{Name: "png", Class: Picture, inGo: true, demuxers: "png_pipe"},
		{Name: "gif", Class: Picture, inGo: true},
		{Name: "webp", Class: Picture, inGo: true},
		{Name: "bmp", Class: Picture, inGo: true, demuxers: "bmp_pipe"},
		{Name: "tiff", Class: Picture, inGo: true}, // ffmpeg 5.1 makes noise of JPEG in TIFF and calls it success
		{Name: "heic", Class: Picture, inGo: true},
		{Name: "avif", Class: Picture, inGo: true},
		{Name: "jxl", Class: Picture, demuxers: "jpegxl_pipe"},
		{Name: "jp2", Class: Picture, demuxers: "j2k_pipe"},
		{Name: "psd", Class: Picture, demuxers: "psd_pipe"},
		{Name: "ico", Class: Picture, demuxers: "ico"},
		{Name: "svg", Class: Picture},
		{Name: "mp4", Class: Video, demuxers: "mov,mp4,m4a,3gp,3g2,mj2"},
		{Name: "mov", Class: Video, demuxers: "mov,mp4,m4a,3gp,3g2,mj2"},
		{Name: "matroska", Class: Video, demuxers: "matroska,webm"},
		{Name: "webm", Class: Video, demuxers: "matroska,webm"},
		{Name: "avi", Class: Video, demuxers: "avi"},
		{Name: "flv", Class: Video, demuxers: "flv"},
		{Name: "mpegts", Class: Video, demuxers: "mpegts"},
		{Name: "mpegps", Class: Video, demuxers: "mpeg"},
		{Name: "mpegvideo", Class: Video, demuxers: "mpegvideo"},
		{Name: "asf", Class: Video, demuxers: "asf"},
		{Name: "ogg", Class: Video, demuxers: "ogg"},
		{Name: "rm", Class: Video, demuxers: "rm"},
		{Name: "mxf", Class: Video, demuxers: "mxf"},
		{Name: "ivf", Class: Video, demuxers: "ivf"},
		{Name: "m4a", Class: Audio, demuxers: "mov,mp4,m4a,3gp,3g2,mj2"},
		{Name: "mp3", Class: Audio, demuxers: "mp3"},
		{Name: "aac", Class: Audio, demuxers: "aac"},
		{Name: "wav", Class: Audio, demuxers: "wav"},
		{Name: "flac", Class: Audio, demuxers: "flac"},
		{Name: "amr", Class: Audio, demuxers: "amr"},
		{Name: "aiff", Class: Audio, demuxers: "aiff"},
		{Name: "caf", Class: Audio, demuxers: "caf"},
		{Name: "pdf", Class: Document},
		{Name: "zip", Class: Document}, // the worker looks inside: docx, odt, … or an archive
		{Name: "ole", Class: Document},
		{Name: "rtf", Class: Text},
		{Name: "html", Class: Text},
		{Name: "text", Class: Text},
	}
	m := make(map[string]Format, len(list))
	for _, f := range list {
		m[f.Name] = f
	}
	return m
}()

// Sniff names the format of a file from its first bytes alone (HeadBytes of
// them, or all of a shorter file); names and extensions are never asked. It
// reads the start only, so that what a picture carries behind or inside it (a
// trailer, a thumbnail) is never taken for the picture. It allocates nothing
// and may be called concurrently.
func Sniff(head []byte) Format { return formats[sniff(head)] }

func sniff(b []byte) string {
	has := func(at int, s string) bool {
		return len(b) >= at+len(s) && string(b[at:at+len(s)]) == s
	}
	switch {
	case has(0, "\xff\xd8\xff"):
		return "jpeg"
	case has(0, "\x89PNG\r\n\x1a\n"):
		return "png"
	case has(0, "GIF87a"), has(0, "GIF89a"):
		return "gif"
	case has(0, "RIFF"), has(0, "RF64"):
		switch {
		case has(8, "WEBP"):
			return "webp"
		case has(8, "AVI "), has(8, "AVIX"):
			return "avi"
		case has(8, "WAVE"):
			return "wav"
		}
		return ""
	case has(0, "BM") && len(b) >= 18 && binary.LittleEndian.Uint32(b[14:]) >= 12 && binary.LittleEndian.Uint32(b[14:]) <= 256:
		return "bmp"
	case has(0, "II*\x00"), has(0, "MM\x00*"), has(0, "II+\x00"), has(0, "MM\x00+"):
		return "tiff"
	case has(4, "ftyp"):
		return sniffBrand(b)
	case has(0, "\x00\x00\x00\x0cJXL \r\n\x87\n"), has(0, "\xff\x0a"):
		return "jxl"
	case has(0, "\x00\x00\x00\x0cjP  \r\n\x87\n"), has(0, "\xff\x4f\xff\x51"):
		return "jp2"
	case has(4, "moov"), has(4, "mdat"), has(4, "wide"), has(4, "free"), has(4, "skip"), has(4, "pnot"), has(4, "styp"):
		return "mov"
	case has(0, "8BPS"):
		return "psd"
	case has(0, "\x00\x00\x01\x00") && len(b) >= 6 && b[4] != 0 && b[5] == 0:
		return "ico"
	case has(0, "\x1aE\xdf\xa3"):
		if n := bytes.Index(b[:min(len(b), 64)], []byte("webm")); n > 0 {
			return "webm"
		}
		return "matroska"
	case has(0, "FLV\x01"):
		return "flv"
	case has(0, "\x00\x00\x01\xba"):
		return "mpegps"
	case has(0, "\x00\x00\x01\xb3"):
		return "mpegvideo"
	case has(0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11"):
		return "asf"
	case has(0, "OggS"):
		return "ogg"
	case has(0, ".RMF"):
		return "rm"
	case has(0, "\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02"):
		return "mxf"
	case has(0, "DKIF"):
		return "ivf"
	case has(0, "G") && has(188, "G") && (len(b) < 377 || b[376] == 'G'), has(4, "G") && has(196, "G") && (len(b) < 389 || b[388] == 'G'):
		return "mpegts"
	case has(0, "fLaC"):
		return "flac"
	case has(0, "#!AMR"):
		return "amr"
	case has(0, "FORM") && (has(8, "AIFF") || has(8, "AIFC")):
		return "aiff"
	case has(0, "caff\x00\x01"):
		return "caf"
	case has(0, "ID3"):
		return "mp3"
	case len(b) >= 4 && b[0] == 0xff && b[1]&0xf6 == 0xf0:
		return "aac"
	case len(b) >= 4 && b[0] == 0xff && b[1]&0xe6 == 0xe2 && b[2]&0xf0 != 0xf0 && b[2]&0x0c != 0x0c:
		return "mp3"
	case bytes.Contains(b[:min(len(b), 1024)], []byte("%PDF-")):
		return "pdf"
	case has(0, "PK\x03\x04"), has(0, "PK\x05\x06"):
		return "zip"
	case has(0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
		return "ole"
	case has(0, "{\\rtf"):
		return "rtf"
	}
	return sniffText(b)
}

// sniffBrand reads the brands of an ISO base media file (ISO/IEC 14496-12, 4.3).
func sniffBrand(b []byte) string {
	n := min(uint64(binary.BigEndian.Uint32(b)), uint64(len(b)), 256)
	if n < 12 {
		n = uint64(min(len(b), 12))
	}
	name := "mp4"
	for at := uint64(8); at+4 <= n; at += 4 {
		if at == 12 {
			continue // the version of the major brand
		}
		switch string(b[at : at+4]) {
		case "avif", "avis":
			return "avif"
		case "heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1":
			name = "heic"
		case "jxl ":
			return "jxl"
		case "jp2 ", "jpx ":
			return "jp2"
		case "qt  ":
			if at == 8 {
				name = "mov"
			}
		case "M4A ", "M4B ", "M4P ":
			if at == 8 {
				return "m4a"
			}
		}
	}
	return name
}

// moves reports whether a HEIC or AVIF says that it is a sequence of pictures.
func moves(b []byte) bool {
	if len(b) < 12 || string(b[4:8]) != "ftyp" {
		return false
	}
	switch string(b[8:12]) {
	case "avis", "msf1", "hevc", "hevx", "hevm", "hevs":
		return true
	}
	return false
}

// sniffText recognises text: UTF-16 with its mark, or UTF-8 without control
// characters other than white space and escape. Single bytes over 127 (old
// code pages) are let through while they stay under a third.
func sniffText(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if len(b) >= 2 && (b[0] == 0xff && b[1] == 0xfe || b[0] == 0xfe && b[1] == 0xff) {
		return "text"
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	odd := 0
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			if len(rest) >= utf8.UTFMax || utf8.FullRune(rest) {
				odd++
			}
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' && r != '\f' && r != '\b' && r != 0x1b, r == 0x7f:
			return ""
		}
		rest = rest[n:]
	}
	if odd*3 > len(b) {
		return ""
	}
	start := bytes.TrimLeft(b[:min(len(b), 1024)], " \t\r\n")
	switch {
	case foldPrefix(start, "<svg"):
		return "svg"
	case foldPrefix(start, "<!doctype svg"):
		return "svg"
	case foldPrefix(start, "<?xml"), foldPrefix(start, "<!--"):
		if bytes.Contains(b, []byte("<svg")) {
			return "svg"
		}
	case foldPrefix(start, "<!doctype html"), foldPrefix(start, "<html"), foldPrefix(start, "<head"), foldPrefix(start, "<body"):
		return "html"
	}
	return "text"
}

// foldPrefix reports whether b starts with the lower-case ASCII text s in any case.
func foldPrefix(b []byte, s string) bool {
	if len(b) < len(s) {
		return false
	}
	for i := range len(s) {
		c := b[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}
