package web

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// regions cuts the elements with the given data-region out of a whole page,
// in the page's order. A region that the page does not have is left out: the
// browser then reloads. Pages are well-formed, so an element ends where as many
// of its name have ended as have begun.
func regions(page []byte, names []string) ([]byte, error) {
	var out bytes.Buffer
	z := html.NewTokenizer(bytes.NewReader(page))
	open, depth := "", 0
	for {
		kind := z.Next()
		raw := z.Raw()
		switch kind {
		case html.ErrorToken:
			if err := z.Err(); !errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("reading a page for its regions: %w", err)
			}
			if depth > 0 {
				return nil, fmt.Errorf("a region in <%s> does not end", open)
			}
			return out.Bytes(), nil
		case html.StartTagToken:
			copied := bytes.Clone(raw) // reading the name moves it to lower case
			name, more := z.TagName()
			switch {
			case depth > 0:
				if string(name) == open {
					depth++
				}
				out.Write(copied)
			case wanted(z, more, names):
				open, depth = string(name), 1
				out.WriteByte('\n')
				out.Write(copied)
			}
			continue
		case html.EndTagToken:
			if depth > 0 {
				out.Write(raw)
				if name, _ := z.TagName(); string(name) == open {
					depth--
				}
			}
			continue
		}
		if depth > 0 {
			out.Write(raw)
		}
	}
}

func wanted(z *html.Tokenizer, more bool, names []string) bool {
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		if string(key) == "data-region" && slices.Contains(names, string(value)) {
			return true
		}
	}
	return false
}

// asked reports whether a request wants the region: all of them if it asks for
// the whole page. What no region needs is not looked up for one.
func asked(r *http.Request, name string) bool {
	names := r.URL.Query().Get("region")
	return names == "" || slices.Contains(strings.Split(names, ","), name)
}
