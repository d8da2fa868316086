package web_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// What one open room costs when something has changed.
func BenchmarkRegion(b *testing.B) {
	w := newWorld(b)
	h := w.node.Handler()
	for _, path := range []string{"/incidents/" + w.incident + "?region=update", "/incidents/" + w.incident, "/?region=asks"} {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
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
