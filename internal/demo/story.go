package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/internal/media"
)

// call sends one request of a person's program to the JSON API.
func (d *demo) call(ctx context.Context, who *person, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.node.URL+"/api/v1"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+who.token)
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodPost {
		req.Header.Set("Idempotency-Key", strconv.FormatInt(time.Now().UnixNano(), 36)+path)
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	b, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s as %s: %s: %s", method, path, who.Name, resp.Status, bytes.TrimSpace(b))
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(b, out)
}

func (d *demo) post(ctx context.Context, who, path string, in, out any) error {
	return d.call(ctx, d.person(who), http.MethodPost, path, in, out)
}

type object struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Action string `json:"action"`
}

// said prints one step with its time.
func (d *demo) said(name, detail string, took time.Duration) {
	d.step++
	fmt.Fprintf(d.out, "%2d %-12s %-44s %8.3f s\n", d.step, name, detail, took.Seconds())
}

// told runs a step and prints it.
func (d *demo) told(name string, do func() (string, error)) error {
	start := time.Now()
	detail, err := do()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	d.said(name, detail, time.Since(start))
	return nil
}

// figures are what a run has measured.
type figures struct {
	protect             []time.Duration // approval sent → an edge blocks, every edge and signal
	withdraw            []time.Duration // withdrawal sent → an edge no longer matches
	falseBlocks, benign int
	blocked, copies     int
}

// opening plays minutes 0 to 11: from the notice to the active protocol with
// blocking signals. It returns the incident's number.
func (d *demo) opening(ctx context.Context, f *figures) (string, error) {
	var inc object
	err := d.told("notify", func() (string, error) {
		err := d.post(ctx, "Sari", "/incidents", map[string]any{
			"title":       "Serangan di pasar, Kota Seroja",
			"description": "Seorang pria menyiarkan langsung serangan di sebuah pasar. Siaran menyebut tempat kedua.",
			"where":       "Kota Seroja", "country": "ID", "urls": []string{"https://lensa.example/live/9"},
			"live": "yes", "more_expected": "yes", "exercise": false,
		}, &inc)
		return inc.ID + " by Lensa", err
	})
	if err != nil {
		return "", err
	}
	base := "/incidents/" + inc.ID
	err = d.told("acknowledge", func() (string, error) {
		for _, who := range []string{"Ayu", "Lestari"} {
			if err := d.post(ctx, who, base+"/acknowledgements", nil, nil); err != nil {
				return "", err
			}
		}
		return "Nusa and the secretariat have seen it", nil
	})
	if err != nil {
		return "", err
	}
	err = d.told("assess", func() (string, error) {
		var out struct {
			Advice struct {
				Level string `json:"level"`
			} `json:"advice"`
		}
		err := d.post(ctx, "Ayu", base+"/assessment", map[string]any{"answers": []map[string]string{
			{"criterion": "real_world_attack", "answer": "yes", "evidence": "confirmed by the police of Kota Seroja"},
			{"criterion": "perpetrator_content", "answer": "yes", "evidence": "the stream is filmed from his helmet"},
			{"criterion": "spread", "answer": "one_service", "evidence": "seen on Lensa so far"},
			{"criterion": "threat_to_life", "answer": "high_specific", "evidence": "the stream names a second place"},
		}}, &out)
		return "advice: " + out.Advice.Level + "; threat to life high", err
	})
	if err != nil {
		return "", err
	}
	err = d.told("emergency", func() (string, error) {
		err := d.post(ctx, "Ayu", base+"/activations", map[string]any{"protocol": "sea-crp", "level": "crisis", "emergency": true, "reason": "live, and a second place is named"}, nil)
		return "sea-crp provisional: review only", err
	})
	if err != nil {
		return "", err
	}
	if err := d.store(ctx); err != nil {
		return "", err
	}
	var pictures, files object
	quality := d.prints.Picture.PDQ.Quality
	err = d.told("propose", func() (string, error) {
		common := func(kind, value string) map[string]any {
			return map[string]any{
				"incident": inc.ID, "kind": kind, "value": value, "labels": []string{"propaganda", "livestream_of_attack"},
				"producer": "perpetrator", "confidence": "high", "tlp": "amber", "group": "G-1", "note": "still from the stream",
				"provenance": map[string]any{"tool": "siaga hash", "sha256": d.prints.SHA256.String(), "quality": quality},
			}
		}
		if err := d.post(ctx, "Sari", "/signals", common("pdq", d.prints.Picture.PDQ.Hash.String()), &pictures); err != nil {
			return "", err
		}
		sha := common("sha256", d.prints.SHA256.String())
		err := d.post(ctx, "Sari", "/signals", sha, &files)
		return pictures.ID + " (PDQ) and " + files.ID + " (SHA-256) by Lensa", err
	})
	if err != nil {
		return "", err
	}
	err = d.told("approve", func() (string, error) {
		wait := d.watch(ctx, d.prints.Picture.PDQ.Hash.String(), pictures.ID, "review")
		for _, id := range []string{pictures.ID, files.ID} {
			if err := d.post(ctx, "Ayu", "/signals/"+id+"/approve", map[string]any{"reason": "the same person and place as in the stream"}, nil); err != nil {
				return "", err
			}
		}
		times, err := wait()
		return fmt.Sprintf("by Nusa: %d edges answer review, p99 %s", len(d.sites), shown(percentile(times, 99))), err
	})
	if err != nil {
		return "", err
	}
	if err := d.stored(ctx); err != nil {
		return "", err
	}
	err = d.told("activate", func() (string, error) {
		wait := d.watch(ctx, d.prints.Picture.PDQ.Hash.String(), pictures.ID, "block")
		if err := d.post(ctx, "Dewi", base+"/activations/sea-crp/votes", map[string]any{"vote": "yes", "reason": "copies reach Gema"}, nil); err != nil {
			return "", err
		}
		times, err := wait()
		return fmt.Sprintf("quorum 2 of 2: review turned to block, p99 %s", shown(percentile(times, 99))), err
	})
	if err != nil {
		return "", err
	}
	err = d.told("acknowledge", func() (string, error) {
		for _, who := range []string{"Lestari", "Ayu", "Sari"} { // the others are still called
			if err := d.post(ctx, who, base+"/acknowledgements", nil, nil); err != nil {
				return "", err
			}
		}
		var all struct {
			Items []struct {
				Acknowledged bool `json:"acknowledged"`
			} `json:"items"`
		}
		if err := d.call(ctx, d.person("Ayu"), http.MethodGet, base+"/acknowledgements", nil, &all); err != nil {
			return "", err
		}
		n := 0
		for _, p := range all.Items {
			if p.Acknowledged {
				n++
			}
		}
		if n != 3 {
			return "", fmt.Errorf("%d of %d partners have acknowledged the activation, not 3", n, len(all.Items))
		}
		return fmt.Sprintf("%d of %d partners know that it is active", n, len(all.Items)), nil
	})
	if err != nil {
		return "", err
	}
	err = d.told("protect", func() (string, error) {
		stills, err := d.stills(ctx)
		if err != nil {
			return "", err
		}
		for i, still := range stills {
			var sig object
			if err := d.post(ctx, "Sari", "/signals", map[string]any{
				"incident": inc.ID, "kind": "pdq", "value": still.Hash.String(), "producer": "perpetrator", "action": "block", "labels": []string{"propaganda"},
				"confidence": "high", "group": "G-1", "note": fmt.Sprintf("still %d of the stream", i+1), "provenance": map[string]any{"tool": "siaga hash", "quality": still.Quality},
			}, &sig); err != nil {
				if strings.Contains(err.Error(), "already") {
					continue // two stills of a plain picture can have one hash
				}
				return "", err
			}
			wait := d.watch(ctx, still.Hash.String(), sig.ID, "block")
			if err := d.post(ctx, "Dewi", "/signals/"+sig.ID+"/approve", map[string]any{}, nil); err != nil {
				return "", err
			}
			times, err := wait()
			if err != nil {
				return "", err
			}
			f.protect = append(f.protect, times...)
		}
		if len(f.protect) == 0 {
			return "", errors.New("no still of this picture has enough detail to be shared")
		}
		return fmt.Sprintf("%d stills at %d edges, p99 %s", len(f.protect)/len(d.sites), len(d.sites), shown(percentile(f.protect, 99))), nil
	})
	if err != nil {
		return "", err
	}
	return inc.ID, d.told("update", func() (string, error) {
		err := d.post(ctx, "Lestari", base+"/updates", map[string]any{"audience": "partners", "texts": map[string]string{
			"en": "An attack on a market in Kota Seroja was streamed on Lensa. sea-crp is active. Platforms: search stored copies and report within an hour.",
			"id": "Serangan di pasar Kota Seroja disiarkan di Lensa. sea-crp aktif. Platform: cari salinan tersimpan dan laporkan dalam satu jam.",
		}}, nil)
		return "situation update 1 in English and Indonesian", err
	})
}

// spread sends every copy and every benign picture to every edge.
func (d *demo) spread(ctx context.Context, f *figures) error {
	if err := d.told("copies", func() (string, error) {
		sent := d.enough(d.copies)
		blocked, wrong, err := d.sendAll(ctx, sent)
		f.blocked, f.copies = blocked, len(sent)*len(d.sites)
		text := fmt.Sprintf("%d of %d blocked", f.blocked, f.copies)
		if len(wrong) > 0 {
			text += "; not: " + strings.Join(wrong, ", ")
		}
		return text, err
	}); err != nil {
		return err
	}
	return d.told("benign", func() (string, error) {
		sent := d.enough(d.benign)
		blocked, _, err := d.sendAll(ctx, sent)
		f.falseBlocks, f.benign = blocked, len(sent)*len(d.sites)
		return fmt.Sprintf("%d of %d blocked", f.falseBlocks, f.benign), err
	})
}

// enough repeats files until the edges together get twenty of them, the least
// of which a share says anything.
func (d *demo) enough(files []copyOf) []copyOf {
	all := files
	for len(files) > 0 && len(all)*len(d.sites) < 20 {
		all = append(slices.Clip(all), files...)
	}
	return all
}

// sendAll sends every file to every edge and counts the answers that say block.
func (d *demo) sendAll(ctx context.Context, files []copyOf) (blocked int, passed []string, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	var mu sync.Mutex
	for _, file := range files {
		for _, s := range d.sites {
			g.Go(func() error {
				action, err := d.send(ctx, s, file)
				mu.Lock()
				defer mu.Unlock()
				if action == "block" {
					blocked++
				} else if !slices.Contains(passed, file.name) {
					passed = append(passed, file.name)
				}
				return err
			})
		}
	}
	err = g.Wait()
	return blocked, passed, err
}

type answer struct {
	Answer  string `json:"answer"`
	Results []struct {
		Matches []struct {
			Signal string `json:"signal"`
			Action string `json:"action"`
		} `json:"matches"`
	} `json:"results"`
}

// send uploads a file to an edge as a platform would, and returns the
// strongest action of the answer.
func (d *demo) send(ctx context.Context, s *site, file copyOf) (string, error) {
	var a answer
	if err := d.ask(ctx, s, "application/octet-stream", file.data, &a); err != nil {
		return "", fmt.Errorf("sending %q to edge %s: %w", file.name, s.name, err)
	}
	best := ""
	for _, r := range a.Results {
		for _, m := range r.Matches {
			if m.Action == "block" || best == "" {
				best = m.Action
			}
		}
	}
	return best, nil
}

func (d *demo) ask(ctx context.Context, s *site, contentType string, body []byte, out *answer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/match", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := d.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, bytes.TrimSpace(b))
	}
	return json.Unmarshal(b, out)
}

// patience bounds how long one waits for an edge.
const patience = 20 * time.Second

// watch asks every edge for a PDQ hash over and over, from now on, until each
// answers with the signal and the action ("" means: no longer with the
// signal). The function that it returns waits for all and gives each edge's
// time since watch was called, which includes the decision's own request.
func (d *demo) watch(ctx context.Context, value, signal, action string) func() ([]time.Duration, error) {
	body, err := json.Marshal(map[string]string{"kind": "pdq", "value": value})
	start := time.Now()
	times := make([]time.Duration, len(d.sites))
	g, ctx := errgroup.WithContext(ctx)
	for i, s := range d.sites {
		g.Go(func() error {
			if err != nil {
				return err
			}
			for time.Since(start) < patience {
				var a answer
				if err := d.ask(ctx, s, "application/json", body, &a); err != nil {
					return fmt.Errorf("asking edge %s: %w", s.name, err)
				}
				got := ""
				for _, r := range a.Results {
					for _, m := range r.Matches {
						if m.Signal == signal {
							got = m.Action
						}
					}
				}
				if got == action {
					times[i] = time.Since(start)
					return nil
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(2 * time.Millisecond):
				}
			}
			return fmt.Errorf("edge %s did not answer %q for %s within %s", s.name, action, signal, patience)
		})
	}
	return func() ([]time.Duration, error) { return times, g.Wait() }
}

// mistake plays minute 26: the market's logo is proposed in haste, approved by
// mistake, and withdrawn by hand.
func (d *demo) mistake(ctx context.Context, incident string, f *figures) error {
	set, err := d.pool.Fingerprint(ctx, bytes.NewReader(d.logo), media.Want{Name: "logo"})
	if err != nil {
		return err
	}
	logo := set.Picture.PDQ.Hash.String()
	if pdq.Degenerate(set.Picture.PDQ.Hash) {
		return errors.New("the logo's hash is degenerate")
	}
	d.logoHash, d.logoQuality = logo, set.Picture.PDQ.Quality
	for round := range 3 { // a mistake made, and undone, three times: enough to say how fast
		protect, withdraw, err := d.haste(ctx, incident, logo, 0)
		if err != nil {
			return err
		}
		if round == 0 {
			f.protect = append(f.protect, protect...)
		}
		f.withdraw = append(f.withdraw, withdraw...)
	}
	return nil
}

// haste plays one mistake: it blocks everywhere for a while, and is withdrawn.
// It returns how long either took to reach each edge.
func (d *demo) haste(ctx context.Context, incident, logo string, while time.Duration) (protect, withdraw []time.Duration, err error) {
	var sig object
	err = d.told("mistake", func() (string, error) {
		if err := d.post(ctx, "Farid", "/signals", map[string]any{
			"incident": incident, "kind": "pdq", "value": logo, "producer": "perpetrator", "action": "block",
			"labels": []string{"propaganda"}, "note": "logo that is seen in the stream", "provenance": map[string]any{"tool": "siaga hash", "quality": d.logoQuality},
		}, &sig); err != nil {
			return "", err
		}
		wait := d.watch(ctx, logo, sig.ID, "block")
		if err := d.post(ctx, "Dewi", "/signals/"+sig.ID+"/approve", map[string]any{"reason": "approved in haste"}, nil); err != nil {
			return "", err
		}
		var err error
		protect, err = wait()
		return sig.ID + ", the market's logo, is blocked everywhere", err
	})
	if err != nil {
		return nil, nil, err
	}
	if !pause(ctx, while) {
		return nil, nil, ctx.Err()
	}
	err = d.told("withdraw", func() (string, error) {
		wait := d.watch(ctx, logo, sig.ID, "")
		if err := d.post(ctx, "Lestari", "/signals/"+sig.ID+"/withdraw", map[string]any{"reason": "it is the logo of the market and hits lawful pictures"}, nil); err != nil {
			return "", err
		}
		var err error
		withdraw, err = wait()
		return fmt.Sprintf("%s off %d edges, p99 %s", sig.ID, len(d.sites), shown(percentile(withdraw, 99))), err
	})
	return protect, withdraw, err
}

// standDown ends the activation by quorum and concludes it.
func (d *demo) standDown(ctx context.Context, incident, proposer, seconder, lead string) error {
	base := "/incidents/" + incident + "/activations/sea-crp"
	if err := d.post(ctx, proposer, base+"/propose-stand-down", map[string]any{
		"reason":  "volume fell; the story is told in fast motion",
		"answers": []map[string]string{{"criterion": "volume_fell", "answer": "yes", "evidence": "counts of the edges"}, {"criterion": "no_new_variants_for", "answer": "yes", "evidence": "counts of the edges"}, {"criterion": "threat_over", "answer": "yes", "evidence": "the police"}},
	}, nil); err != nil {
		return err
	}
	if err := d.post(ctx, seconder, base+"/stand-down/votes", map[string]any{"vote": "yes", "reason": "agreed"}, nil); err != nil {
		return err
	}
	if err := d.post(ctx, lead, base+"/conclude", map[string]any{"reason": "nothing needs to be renewed"}, nil); err != nil {
		return err
	}
	return nil
}

// main plays the story from the notice to the mistake that is withdrawn.
func (d *demo) main(ctx context.Context, f *figures) (incident string, err error) {
	inc, err := d.opening(ctx, f)
	if err != nil {
		return "", err
	}
	if err := d.spread(ctx, f); err != nil {
		return "", err
	}
	if err := d.variant(ctx, f); err != nil {
		return "", err
	}
	return inc, d.mistake(ctx, inc, f)
}

// once plays the story and prints what it measured.
func (d *demo) once(ctx context.Context) error {
	var f figures
	inc, err := d.main(ctx, &f)
	if err != nil {
		return err
	}
	wait := d.watch(ctx, d.prints.Picture.PDQ.Hash.String(), "S-0001", "")
	if err := d.told("stand down", func() (string, error) {
		return "quorum 2 of 2, concluded; its signals have ended", d.standDown(ctx, inc, "Ayu", "Dewi", "Ayu")
	}); err != nil {
		return err
	}
	if _, err := wait(); err != nil {
		return err
	}
	var entries int64
	var root string
	verified := false
	if err := d.told("verify", func() (string, error) {
		r, err := d.verify(ctx)
		entries, root, verified = r.Size, r.Root.String(), r.Found == 0
		if r.Found > 0 {
			return "", fmt.Errorf("the journal does not verify: %v", r.Faults[0])
		}
		return fmt.Sprintf("%d entries", r.Size), err
	}); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "time_to_protect_ms p50=%.1f p99=%.1f max=%.1f edges=%d\n", ms(percentile(f.protect, 50)), ms(percentile(f.protect, 99)), ms(percentile(f.protect, 100)), len(d.sites))
	fmt.Fprintf(d.out, "copies_blocked=%d of %d\n", f.blocked, f.copies)
	fmt.Fprintf(d.out, "false_blocks=%d of %d\n", f.falseBlocks, f.benign)
	fmt.Fprintf(d.out, "withdrawal_ms p99=%.1f\n", ms(percentile(f.withdraw, 99)))
	fmt.Fprintf(d.out, "journal entries=%d root=%s verified=%t\n", entries, root, verified)
	var failed []string
	if p := percentile(f.protect, 99); p >= time.Second {
		failed = append(failed, "time to protect is over a second")
	}
	if f.copies < 20 || f.benign < 20 {
		failed = append(failed, "fewer than 20 copies or benign pictures were sent")
	}
	if f.blocked != f.copies {
		failed = append(failed, "not all copies were blocked")
	}
	if f.falseBlocks != 0 {
		failed = append(failed, "benign pictures were blocked")
	}
	if p := percentile(f.withdraw, 99); p >= time.Second {
		failed = append(failed, "the withdrawal took over a second")
	}
	if len(failed) > 0 {
		return fmt.Errorf("the demo's promise did not hold: %s", strings.Join(failed, "; "))
	}
	return nil
}

// exercise plays a short practice run from notice to conclusion, so that the
// pages also show a stand-down and an exercise.
func (d *demo) exercise(ctx context.Context) error {
	var inc object
	if err := d.post(ctx, "Lestari", "/incidents", map[string]any{
		"title": "Samudra: practice with an invented stream", "description": "Exercise Samudra. An invented stream is notified, activated and ended.",
		"country": "SG", "exercise": true,
	}, &inc); err != nil {
		return err
	}
	base := "/incidents/" + inc.ID
	if err := d.post(ctx, "Ayu", base+"/assessment", map[string]any{"answers": []map[string]string{{"criterion": "real_world_attack", "answer": "yes", "evidence": "inject 1"}, {"criterion": "perpetrator_content", "answer": "yes", "evidence": "inject 2"}}}, nil); err != nil {
		return err
	}
	if err := d.post(ctx, "Ayu", base+"/activations", map[string]any{"protocol": "sea-crp", "level": "content_incident", "reason": "inject 3"}, nil); err != nil {
		return err
	}
	if err := d.post(ctx, "Dewi", base+"/activations/sea-crp/votes", map[string]any{"vote": "yes", "reason": "inject 4"}, nil); err != nil {
		return err
	}
	return d.standDown(ctx, inc.ID, "Ayu", "Dewi", "Ayu")
}

// links prints what a visitor opens.
func (d *demo) links(ctx context.Context) error {
	for i, p := range d.people {
		code, err := d.node.Partners.IssueOpen(ctx, p.id, 12*time.Hour)
		if err != nil {
			return err
		}
		url := d.node.URL + "/open/" + code
		if i == 0 {
			fmt.Fprintf(d.out, "open: %s\n", url)
		} else {
			fmt.Fprintf(d.out, "open-as: %s %s\n", strings.ReplaceAll(p.Role, " ", "-"), url)
		}
	}
	for _, s := range d.sites {
		fmt.Fprintf(d.out, "edge: %s %s\n", s.name, s.url)
	}
	file := filepath.Join(d.o.Data, "secretariat.token")
	if err := os.WriteFile(file, []byte(d.person("Lestari").token+"\n"), 0o600); err != nil {
		return fmt.Errorf("writing the secretariat's token: %w", err)
	}
	fmt.Fprintf(d.out, "token: %s\n", file)
	return nil
}

// percentile returns the p-th percentile (nearest rank).
func percentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	t := slices.Sorted(slices.Values(times))
	i := (len(t)*p + 99) / 100
	return t[max(i, 1)-1]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func shown(d time.Duration) string { return fmt.Sprintf("%.0f ms", ms(d)) }
