package web_test

import (
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// The pages that propose and look up signals fingerprint a file in the browser:
// as we do, and without sending it. No other page may run WebAssembly. Without
// scripts the control is not shown, and the page names siaga hash.
func TestFilesAreFingerprintedInTheBrowser(t *testing.T) {
	needBrowser(t)
	if _, err := os.Stat("static/fingerprint.wasm"); err != nil {
		t.Fatal("fingerprint.wasm is not embedded: run make wasm first, as make test does")
	}
	photo, err := filepath.Abs("../../fingerprint/pdq/testdata/images/bridge-mods__square-256x256.jpg")
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(photo)
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(file)
	_ = file.Close() // read only
	if err != nil {
		t.Fatal(err)
	}
	want := pdq.Compute(img)
	text := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(text, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}

	w := newWorld(t)
	for _, path := range []string{"/", "/edges", "/help"} {
		if csp := w.get("officer", path).header.Get("Content-Security-Policy"); strings.Contains(csp, "wasm") {
			t.Errorf("%s may run WebAssembly: %s", path, csp)
		}
	}
	b := w.tab(t, "officer")
	for _, p := range []struct{ path, field string }{{"/signals/new", "value"}, {"/signals", "q"}} {
		page := w.get("officer", p.path)
		if !strings.Contains(page.body, "siaga hash FILE") && p.field == "value" {
			t.Errorf("%s does not name siaga hash", p.path)
		}
		if !strings.Contains(page.body, `<p hidden><label for="file-here">`) {
			t.Errorf("%s shows its file control without scripts", p.path)
		}
		b.open(p.path)
		b.ok(chromedp.Do(b.ctx, chromedp.SetUploadFiles("#file-here", []string{photo})))
		b.until("the fingerprint", fmt.Sprintf(`document.getElementById(%q).value.length == 64`, p.field), 15*time.Second)
		if got := eval[string](b, fmt.Sprintf(`document.getElementById(%q).value`, p.field)); got != want.Hash.String() {
			t.Errorf("%s: %s in the browser, %s here", p.path, got, want.Hash)
		}
		if said := eval[string](b, `document.getElementById("file-said").textContent`); !strings.Contains(said, fmt.Sprint(want.Quality)) {
			t.Errorf("%s says %q, want the quality %d in it", p.path, said, want.Quality)
		}
		b.ok(chromedp.Do(b.ctx, chromedp.SetUploadFiles("#file-here", []string{text})))
		b.until("a word on what is no picture", `document.getElementById("file-said").textContent.includes("siaga hash")`, 5*time.Second)
		// A file that fails leaves nothing of the one before it in the form, and
		// one over the limit is refused by its size, before it is read.
		b.ok(chromedp.Do(b.ctx, chromedp.SetUploadFiles("#file-here", []string{photo})))
		b.until("the fingerprint again", fmt.Sprintf(`document.getElementById(%q).value == %q`, p.field, want.Hash), 15*time.Second)
		eval[bool](b, `(() => {
			const file = new File(["x"], "big.jpg");
			Object.defineProperty(file, "size", { value: 256 * 1024 * 1024 + 1 });
			file.arrayBuffer = () => { window.wasRead = true; return Promise.reject(); };
			const drop = new Event("drop", { cancelable: true, bubbles: true });
			drop.dataTransfer = { files: [file] };
			document.querySelector("[data-fingerprint]").dispatchEvent(drop);
			return true;
		})()`)
		b.until("the word on its size", `document.getElementById("file-said").textContent == document.querySelector("[data-fingerprint]").dataset.large`, 5*time.Second)
		if got := eval[string](b, fmt.Sprintf(`document.getElementById(%q).value + (window.wasRead ? " and was read" : "")`, p.field)); got != "" {
			t.Errorf("%s: after a file over the limit the form has %q, want nothing", p.path, got)
		}
		// All that was loaded for it are our own static files.
		for _, url := range eval[[]string](b, `performance.getEntriesByType("resource").map(e => e.initiatorType + " " + e.name)`) {
			if !strings.Contains(url, "/static/") && !strings.Contains(url, "/live") && !strings.Contains(url, "/events") {
				t.Errorf("%s loaded %s", p.path, url)
			}
		}
	}
}
