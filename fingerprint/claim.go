package fingerprint

import (
	"mime"
	"path/filepath"
	"strings"
)

// claims lists the extensions by which a file says that it is one of these.
var claims = []struct{ what, extensions string }{
	{"picture", " jpg jpeg jpe jfif pjpeg mpo png apng gif webp bmp dib tif tiff dng heic heif hif avif avifs jxl jp2 jpx j2k jpf psd ico svg "},
	{"video", " mp4 m4v mov qt 3gp 3g2 mp4v f4v mkv webm avi flv ts mts m2ts m2t mpg mpeg mpe vob wmv asf ogv rm rmvb mxf ivf "},
	{"sound file", " mp3 wav flac ogg oga opus m4a m4b aac amr aif aiff aifc caf wma mka "},
	{document, " pdf doc docx docm dotx dotm xls xlsx xlsm xlsb xltx ppt pptx pptm ppsx potx odt ott ods ots odp otp odg epub "},
}

const document = "document"

// documentTypes begin the media types of documents.
var documentTypes = []string{"application/pdf", "application/msword", "application/vnd.openxmlformats-officedocument.", "application/vnd.ms-excel", "application/vnd.ms-powerpoint", "application/vnd.ms-word", "application/vnd.oasis.opendocument.", "application/epub+zip"}

// Claimed completes a set by what the file's sender calls it: name, of which
// only the extension counts, and mediaType, a Content-Type; each may be "".
//
// A file that claims to be a picture, a video or sound, and holds nothing that
// could be looked at as one, becomes unknown: its exact bytes were fingerprinted,
// and nothing else of it. So does one that claims to be a document and is bytes
// that we know no form of, or an archive in which we found no document, or none
// whose directory can be read. Where nothing is claimed, and the exact bytes are all
// that can be found again, Note says that. What was fingerprinted by its
// content is left as it is, whatever its name says.
func (s *Set) Claimed(name, mediaType string) {
	if s.Unknown != "" || s.Picture != nil || len(s.Frames) > 0 || s.Audio != nil {
		return
	}
	what, says := claimed(name, mediaType, s.Format)
	switch {
	case what != "":
		s.Unknown = says + ", but this is " + holds(s.Format, what) + "; only its exact bytes were fingerprinted"
		s.Fix = "see whether the file is damaged, or named wrongly; if a viewer shows it, save it from there in a common form and use that"
	case s.Format == "zip":
		s.Note = "an archive: SHA-256 and MD5 apply, which find these exact bytes; take out the files in it to fingerprint them"
	case s.Format == "":
		s.Note = "no picture, video, sound, document or text that is known here: SHA-256 and MD5 apply, which find these exact bytes"
	case s.TLSH == "" && s.Note == "":
		s.Note = "too short or too plain for TLSH: SHA-256 and MD5 apply, which find these exact bytes"
	}
}

// Looked reports whether anything but exact bytes was fingerprinted, or the
// content is known to be of a kind that no viewer shows: an archive, a text.
func (s *Set) Looked() bool {
	return s.Unknown == "" && (s.Format != "" || s.Picture != nil || len(s.Frames) > 0 || s.Audio != nil || s.TLSH != "")
}

// claimed returns what the file says that it is, "" for nothing that a viewer
// shows, and by which words.
func claimed(name, mediaType, format string) (what, says string) {
	if ext := strings.ToLower(strings.TrimPrefix(filepath.Ext(name), ".")); ext != "" && !strings.ContainsAny(ext, " \t") {
		if ext == "ts" && format == "text" {
			return "", "" // a program in TypeScript
		}
		for _, c := range claims {
			if strings.Contains(c.extensions, " "+ext+" ") && (c.what != document || undecided(format)) {
				return c.what, "the name ends in ." + ext
			}
		}
	}
	t, _, err := mime.ParseMediaType(mediaType)
	if err != nil {
		return "", ""
	}
	for prefix, what := range map[string]string{"image/": "picture", "video/": "video", "audio/": "sound file"} {
		if sub, ok := strings.CutPrefix(t, prefix); ok && sub != "" && len(t) <= 40 {
			return what, "it was sent as " + t
		}
	}
	for _, prefix := range documentTypes {
		if undecided(format) && strings.HasPrefix(t, prefix) && len(t) <= 80 {
			return document, "it was sent as " + t
		}
	}
	return "", ""
}

// undecided reports whether content of this format may be a damaged document.
func undecided(format string) bool { return format == "" || format == "zip" }

// holds says what the content is instead of what was claimed.
func holds(format, what string) string {
	switch format {
	case "":
		return "no " + what + " that is known here"
	case "text", "rtf":
		return "a text"
	case "html":
		return "a web page"
	case "zip":
		if what == document {
			return "an archive in which no document could be read"
		}
		return "an archive"
	}
	return "a document (" + format + ")"
}
