package web

import (
	"net/http"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
)

type messagesPage struct {
	*Frame
	form
	Rows     []channelRow
	Failing  int
	Calls    []callRow
	Kinds    []string
	Members  []partner.Member
	In       notify.NewChannel
	Word     string
	Key2     string // of the webhook just added; shown this once
	Push     string // the node's public key for web push; "": none
	CanAdd   bool
	Untested int
}

type channelRow struct {
	notify.Row
	Chip Chip
	Mine bool // may be tested and removed by the reader
}

type callRow struct {
	notify.Call
	Chip   Chip
	Detail string
}

func (s *Site) messages(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.messagesForm(w, r, f, http.StatusOK, form{}, notify.NewChannel{}, "")
}

func (s *Site) messagesForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in notify.NewChannel, key string) error {
	rows, err := s.o.Notify.Rows(r.Context(), f.Me)
	if err != nil {
		return err
	}
	names, err := s.memberNames(r, f)
	if err != nil {
		return err
	}
	page := messagesPage{Frame: f, form: m, Kinds: notify.Kinds(), In: in, Key2: key, Push: s.o.Notify.PushKey(), CanAdd: f.Me.Member != ""}
	admin := f.Me.Has(access.Administrator)
	for _, row := range rows {
		page.Rows = append(page.Rows, channelRow{row, f.Chip("channel." + row.State()), row.Partner == f.Me.Partner && (admin || row.Member == f.Me.Member)})
		page.Failing += b2i(row.Failing)
		page.Untested += b2i(row.Checked.IsZero())
	}
	if f.Can(string(access.ReadIncidents)) {
		calls, err := s.o.Notify.Calls(r.Context(), f.Me, 20)
		if err != nil {
			return err
		}
		for _, c := range calls {
			row := callRow{Call: c, Chip: f.Chip("call." + c.State)}
			if who, a, ok := c.Last(); ok {
				row.Detail = f.T("acks.last."+a.State, "Kind", f.T("channel."+a.Kind), "Time", f.ClockText(a.At), "Who", isolate(names[who]), "Why", f.maybe("msgreason.", a.Reason))
			} else {
				row.Detail = f.T("acks.last.none")
			}
			page.Calls = append(page.Calls, row)
		}
	}
	if admin {
		if page.Members, err = s.o.Partners.Members(r.Context(), f.Me); err != nil {
			return err
		}
	}
	f.Section, f.Title, f.Script = "more", f.T("messages.title"), "push.js"
	f.Form = len(m.Errors) > 0 || key != ""
	if !f.Form {
		f.Live = []string{"channel", "call"}
	}
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "messages", page)
}

func (s *Site) messagesDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	sent := "messages"
	var err error
	switch v.Get("do") {
	case "test":
		var c notify.Channel
		if c, err = s.o.Notify.Test(r.Context(), f.Me, v.Get("id")); err == nil {
			sent = "channel_works"
			if c.Failing {
				sent = "channel_fails"
			}
		}
	case "remove":
		err = s.o.Notify.Remove(r.Context(), f.Me, v.Get("id"))
	case "word":
		err = s.o.Notify.SetWord(r.Context(), f.Me, v.Get("word"))
	default:
		in := notify.NewChannel{
			Kind: v.Get("kind"), Target: v.Get("target"), Member: v.Get("member"), Phone: v.Get("phone") != "",
			Label: v.Get("label"), P256dh: v.Get("p256dh"), Auth: v.Get("auth"),
		}
		added, aerr := s.o.Notify.Add(r.Context(), f.Me, in)
		if m, ok := f.mistakes(aerr); ok {
			if in.Kind == notify.Push {
				in = notify.NewChannel{} // its fields are the browser's
			}
			return s.messagesForm(w, r, f, http.StatusUnprocessableEntity, m, in, "")
		}
		if aerr == nil && added.Key != "" {
			return s.messagesForm(w, r, f, http.StatusOK, form{}, notify.NewChannel{}, added.Key)
		}
		err = aerr
	}
	if m, ok := f.mistakes(err); ok {
		return s.messagesForm(w, r, f, http.StatusUnprocessableEntity, m, notify.NewChannel{}, "")
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/messages?sent="+sent, http.StatusSeeOther)
	return nil
}

// worker serves the service worker that shows push messages. Its address is
// the top folder, which is what it may act for.
func (s *Site) worker(w http.ResponseWriter, _ *http.Request) {
	secure(w.Header())
	b, err := files.ReadFile("static/push-worker.js")
	if err != nil {
		http.Error(w, "not there", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(b) // the reader has gone
}
