package web_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// What one open room costs when something has changed: for the first reader of
// a view ("alone", an address that nobody else asks for), and for the others.
func BenchmarkRegion(b *testing.B) {
	w := newWorld(b)
	h := w.node.Handler()
	for name, path := range map[string]string{
		"alone": regionsOfRoom(w) + "en&alone=%d", "shared": regionsOfRoom(w) + "en", "page": "/incidents/" + w.incident, "board": "/?region=asks",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				path := path
				if name == "alone" {
					path = fmt.Sprintf(path, i)
				}
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.AddCookie(&http.Cookie{Name: "siaga_session", Value: w.key["officer"]})
				rec := httptest.NewRecorder()
				h.ServeHTTP(rec, r)
				if rec.Code != http.StatusOK {
					b.Fatal(rec.Code)
				}
			}
		})
	}
}
