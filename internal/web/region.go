package web

import (
	"bytes"
	"fmt"
	"slices"

	"golang.org/x/net/html"
)

// regions cuts the elements with the given data-region out of a whole page,
// in the page's order. A region that the page does not have is left out: the
// browser then reloads.
func regions(page []byte, names []string) ([]byte, error) {
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		return nil, fmt.Errorf("reading a page for its regions: %w", err)
	}
	var out bytes.Buffer
	var walk func(*html.Node) error
	walk = func(n *html.Node) error {
		if n.Type == html.ElementNode {
			for _, a := range n.Attr {
				if a.Key == "data-region" && slices.Contains(names, a.Val) {
					out.WriteByte('\n')
					return html.Render(&out, n)
				}
			}
		}
		for c := n.FirstChild; c != nil; c = c.NextSibling {
			if err := walk(c); err != nil {
				return err
			}
		}
		return nil
	}
	if err := walk(doc); err != nil {
		return nil, fmt.Errorf("writing the regions of a page: %w", err)
	}
	return out.Bytes(), nil
}
