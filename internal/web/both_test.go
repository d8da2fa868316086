package web_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/web"
)

// both is every page and form and the operations of the JSON interface that do
// the same, or after "page" why there is none. Where a form's button decides, it
// may stand on several lines. What stands after "~" tells the same by another
// call. A page without a line fails the test, and so does
// an operation on no line: what a page does, a program does, with the same right.
const both = `
GET  /                                              list-asks list-incidents list-edges list-acknowledgements incident-matches
GET  /asks                                          list-asks
GET  /live                                          page says that something changed, for browsers; a program asks with a cursor, and edges follow the feed
GET  /a/{code}                                      page of a one-time code; list-asks tells the same person the same
POST /a/{code}                                      answer-call
GET  /duty                                          get-roster
POST /duty                                          set-roster add-override remove-override offer-shift answer-shift
GET  /messages                                      list-channels list-calls get-push-key
POST /messages                                      add-channel remove-channel test-channel set-check-word
GET  /incidents                                     list-incidents
GET  /incidents/new                                 list-partners
POST /incidents/new                                 notify-incident
GET  /incidents/{id}                                get-incident incident-timeline list-acknowledgements incident-matches
POST /incidents/{id}/acknowledge                    acknowledge-incident
GET  /incidents/{id}/acknowledgements               list-acknowledgements
GET  /incidents/{id}/assess                         get-incident
POST /incidents/{id}/assess                         assess-incident
GET  /incidents/{id}/activate                       list-protocols get-incident
POST /incidents/{id}/activate                       propose-activation
GET  /incidents/{id}/activations/{protocol}         get-incident
POST /incidents/{id}/activations/{protocol}/{verb}  vote stand-down-vote activation-*
GET  /incidents/{id}/updates/new                    get-draft
POST /incidents/{id}/updates/new                    post-update save-draft
GET  /incidents/{id}/assets/new                     get-incident
POST /incidents/{id}/assets/new                     add-asset
GET  /incidents/{id}/assets                         get-incident
GET  /incidents/{id}/signals                        list-signals
GET  /incidents/{id}/updates                        get-incident
GET  /incidents/{id}/tasks                          get-incident
POST /incidents/{id}/tasks                          activation-report-task
GET  /incidents/{id}/questions                      get-incident
POST /incidents/{id}/questions                      ask-question answer-question
GET  /incidents/{id}/matches                        incident-matches ~get-signal-verdicts
GET  /incidents/{id}/matches.csv                    incident-matches
GET  /incidents/{id}/handover                       get-incident
POST /incidents/{id}/handover                       offer-handover accept-handover take-back-handover
GET  /incidents/{id}/statements/{number}            get-incident
POST /incidents/{id}/statements/{number}            confirm-statement refuse-statement
GET  /incidents/{id}/brief                          get-incident list-signals incident-matches
GET  /incidents/{id}/stand-down                     get-incident list-signals
POST /incidents/{id}/stand-down                     settle-signals
GET  /incidents/{id}/timeline                       incident-timeline
GET  /incidents/{id}/close                          get-incident
POST /incidents/{id}/close                          close-incident reopen-incident
GET  /signals                                       list-signals
GET  /signals/new                                   list-incidents
POST /signals/new                                   propose-signal
GET  /signals/{id}                                  get-signal get-signal-verdicts
GET  /signals/{id}/{verb}                           get-signal
POST /signals/{id}/{verb}                           approve-signal refuse-signal suspend-signal resume-signal withdraw-signal
GET  /groups/{id}                                   get-group
POST /groups/{id}/variants                          add-variant
GET  /groups/{id}/{verb}                            get-group
POST /groups/{id}/{verb}                            approve-group suspend-group resume-group withdraw-group
GET  /edges                                         list-edges
GET  /edges/new                                     list-tokens
POST /edges/new                                     create-token
GET  /partners                                      list-partners list-requests
GET  /partners/new                                  page is the form of add-partner
POST /partners/new                                  add-partner
GET  /partners/{id}                                 get-partner list-members list-edges list-signals
POST /partners/{id}                                 disable-partner enable-partner
GET  /admin/members                                 list-sign-ins list-requests
POST /admin/members                                 add-member make-request
GET  /admin/members/{id}                            list-sign-ins
POST /admin/members/{id}                            change-member invite-member end-member-sessions make-request
GET  /admin/requests/{id}                           get-request list-members
POST /admin/requests/{id}                           confirm-request refuse-request
GET  /admin/break-glass                             list-break-glass
POST /admin/break-glass                             page needs a person who is present, which no token is (access.break)
GET  /admin/tokens                                  list-tokens
POST /admin/tokens                                  create-token revoke-token
GET  /admin/health                                  get-health
GET  /protocols                                     ~list-protocols ~get-protocol
GET  /protocols/new                                 get-protocol-file
POST /protocols/new                                 propose-version check-protocol
GET  /protocols/{id}                                get-protocol get-protocol-file
GET  /protocols/{id}/diff                           diff-protocol
GET  /protocols/{id}/file                           get-protocol-file
GET  /protocols/{id}/versions/{hash}                get-protocol diff-protocol
POST /protocols/{id}/versions/{hash}/{verb}         vote-version withdraw-version
GET  /journal                                       list-journal
GET  /journal/verify                                page says how; /log/ has the checkpoint, tiles and proofs, and siaga log verifies
GET  /journal/{entry}                               get-journal-entry
GET  /more                                          page leads to other pages
GET  /help                                          page is text
GET  /help/keys                                     page is text
GET  /glossary                                      page is text
GET  /search                                        search
POST /search                                        search search-by-content
GET  /public                                        page is open to all, and so is /public/status.json
GET  /public/incidents/{id}                         page is open to all, and so is /public/status.json
GET  /public/verify                                 page is text
GET  /public/feed.atom                              page is open to all, for programs
GET  /public/status.json                            page is open to all, for programs
GET  /public/status.dsse.json                       page is open to all, for programs
GET  /settings                                      page keeps how this browser looks
POST /settings                                      page keeps how this browser looks
GET  /settings/profile                              ~get-me
POST /settings/profile                              set-my-profile
GET  /settings/keys                                 list-my-keys list-my-sessions list-my-tokens
POST /settings/keys                                 end-my-session create-token revoke-token
GET  /sign-in                                       page signs a browser in; a program has a token
POST /sign-in                                       page signs a browser in; a program has a token
POST /sign-out                                      page ends this browser's session
GET  /step-up                                       page proves that a person is present, which no token can
POST /step-up                                       page proves that a person is present, which no token can
GET  /first/{code}                                  page makes a person's first key in their browser
POST /first/{code}                                  page makes a person's first key in their browser
GET  /oidc/start                                    page signs a browser in; a program has a token
GET  /oidc/callback                                 page signs a browser in; a program has a token
GET  /open/{code}                                   page signs a browser in; a program has a token
`

// pageOnly is every call of a service that a page makes and no operation, with
// the reason. A method that is not here and that no operation calls fails.
var pageOnly = map[string]string{
	"Partners.AddPasskey": "a key of a person", "Partners.RemovePasskey": "a key of a person", "Partners.SetPassword": "a key of a person", "Partners.RemovePassword": "a key of a person",
	"Partners.NewRecovery": "a key of a person", "Partners.Unlink": "a key of a person", "Partners.LinkOIDC": "a key of a person", "Partners.OfferPasskey": "a key of a person", "Partners.OfferTOTP": "a key of a person",
	"Partners.Begin": "a person's first key", "Partners.Enrol": "a person's first key", "Partners.EnrolPasskey": "a person's first key", "Partners.Join": "a person's first key",
	"Partners.AskPasskey": "signs a browser in", "Partners.SignIn": "signs a browser in", "Partners.SignInPasskey": "signs a browser in", "Partners.SignInOIDC": "signs a browser in", "Partners.Open": "signs a browser in", "Partners.SignOut": "ends a browser's session",
	"Partners.ByRequest": "finds a browser's session", "Partners.Alive": "finds a browser's session", "Partners.Seen": "of a browser's session", "Partners.Memberships": "of a browser's session: a token is of one membership", "Partners.Switch": "of a browser's session: a token is of one membership",
	"Partners.Prove": "a person's presence", "Partners.StepUpPasskey": "a person's presence", "Partners.StepUpCode": "a person's presence", "Partners.Carry": "a person's presence", "Partners.HasPasskeys": "what a browser may be asked",
	"Partners.BreakGlass": "needs a person's presence (access.break has no scope of tokens)",
	"Partners.MayDisable": "whether a button is shown", "Partners.Around": "steps of a new node on its board; list-members and list-channels tell them",
	"Notify.Look":    "the page of a code; answer-call says how it stands",
	"Notify.Failing": "those of list-channels that fail", "Duty.Gaps": "those of get-roster",
	"Incidents.Check": "mistakes of a form; notify-incident tells them", "Incidents.Since": "what changed while a form was filled in; incident-timeline tells it",
	"Incidents.Allowed": "buttons that are shown; list-asks has what is asked, and a refusal names what is allowed", "Incidents.Leading": "the protocol that leads, of get-incident", "Incidents.Reach": "whom the form shows before it is sent; notify-incident takes label and readers", "Incidents.IsPublic": "whether the page asks for digits and a reason; post-update says so itself", "Incidents.Definition": "of an activation; get-protocol-file has it by its hash",
	"Incidents.Protocols": "get-protocol, of all", "Signals.Counts": "incident-matches, of all incidents", "Signals.Outlook": "approve-signal and resume-signal, which answer what it does then", "Signals.FeedbackOf": "get-signal-verdicts, of all signals of an incident",
	"Edges.Reach": "how far one signal has come; list-edges has each edge", "Edges.Version": "when a page must be made anew",
}

// calls is what a function calls: services, functions of packages of ours, and
// others of its package.
type calls struct{ services, local map[string]bool }

// source parses the non-test files of a package.
func source(t *testing.T, dir string) (fset *token.FileSet, files []*ast.File) {
	t.Helper()
	fset = token.NewFileSet()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s has no source: %v", dir, err)
	}
	for _, n := range names {
		if strings.HasSuffix(n, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, n, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return fset, files
}

var services = []string{"Partners", "Incidents", "Signals", "Duty", "Notify", "Edges", "Health", "Journal"}

// callsOf collects what a piece of source calls or names.
func callsOf(n ast.Node) calls {
	c := calls{map[string]bool{}, map[string]bool{}}
	names := map[string]string{} // of variables that hold a service
	ast.Inspect(n, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.AssignStmt:
			for i, r := range x.Rhs {
				if s, ok := r.(*ast.SelectorExpr); ok && len(x.Lhs) == len(x.Rhs) && slices.Contains(services, s.Sel.Name) {
					if v, ok := x.Lhs[i].(*ast.Ident); ok {
						names[v.Name] = s.Sel.Name
					}
				}
			}
		case *ast.SelectorExpr:
			switch of := x.X.(type) {
			case *ast.SelectorExpr: // s.o.Incidents.Get, s.Incidents.Get
				if slices.Contains(services, of.Sel.Name) && x.Sel.Name != "View" {
					c.services[of.Sel.Name+"."+x.Sel.Name] = true
				}
			case *ast.CallExpr: // s.found().All
				if f, ok := of.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "found" {
					c.services["asks.Services"] = true
				}
			case *ast.Ident:
				if s := names[of.Name]; s != "" {
					c.services[s+"."+x.Sel.Name] = true
				}
				switch of.Name + "." + x.Sel.Name {
				case "search.New", "asks.Services", "protocol.Parse", "protocol.Diff", "access.Allow":
					c.services[of.Name+"."+x.Sel.Name] = true
				}
				c.local[x.Sel.Name] = true
			}
		case *ast.CallExpr:
			if f, ok := x.Fun.(*ast.Ident); ok {
				c.local[f.Name] = true
			}
		}
		return true
	})
	return c
}

// reach is callsOf for functions by name, with all that they call in turn.
func reach(funcs map[string]calls, name string, seen map[string]bool, out map[string]bool) {
	if seen[name] {
		return
	}
	seen[name] = true
	maps.Copy(out, funcs[name].services)
	for l := range funcs[name].local {
		if _, ok := funcs[l]; ok {
			reach(funcs, l, seen, out)
		}
	}
}

func functions(files []*ast.File, of string) map[string]calls {
	out := map[string]calls{}
	for _, f := range files {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if fn.Recv != nil {
				star, ok := fn.Recv.List[0].Type.(*ast.StarExpr)
				if !ok {
					continue
				}
				if id, ok := star.X.(*ast.Ident); !ok || id.Name != of {
					continue
				}
			}
			out[fn.Name.Name] = callsOf(fn.Body)
		}
	}
	return out
}

// pattern is an operation's ID as source has it: parts that are computed match all.
func pattern(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(x.Value)
		if err != nil {
			return ".+"
		}
		return regexp.QuoteMeta(s)
	case *ast.BinaryExpr:
		return pattern(x.X) + pattern(x.Y)
	}
	return ".+"
}

// TestPagesAndInterfaceHaveTheSameRights compares pages with the JSON interface: each page
// has its operations, each operation its page; the right of a form, as
// TestRights has tried it, is that of one of its operations; handler and
// operation call the same service; and what only forms call, an operation of
// the form calls too.
func TestPagesAndInterfaceHaveTheSameRights(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			ID    string `json:"operationId"`
			Right string `json:"x-siaga-right"`
		} `json:"paths"`
	}
	b, err := os.ReadFile(filepath.Join("..", "api", "testdata", "openapi.json")) // which a test there holds to the code
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	right, used := map[string]string{}, map[string]bool{}
	for _, methods := range doc.Paths {
		for _, op := range methods {
			right[op.ID] = op.Right
		}
	}

	// What the operations call.
	_, files := source(t, filepath.Join("..", "api"))
	apiFuncs := functions(files, "server")
	does := map[string]map[string]bool{}
	apiCalls := map[string]bool{}
	for _, f := range files {
		maps.Copy(apiCalls, callsOf(f).services)
		var loops []*ast.RangeStmt
		ast.Inspect(f, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.RangeStmt:
				loops = append(loops, x)
			case *ast.CallExpr:
				name, ok := x.Fun.(*ast.Ident)
				if !ok || name.Name != "add" || len(x.Args) != 3 {
					return true
				}
				lit, ok := x.Args[1].(*ast.CompositeLit)
				if !ok || len(lit.Elts) == 0 {
					return true
				}
				var from ast.Node = x
				for _, l := range loops {
					if l.Pos() <= x.Pos() && x.End() <= l.End() {
						from = l
					}
				}
				c := callsOf(from)
				for l := range c.local {
					reach(apiFuncs, l, map[string]bool{}, c.services)
				}
				id := regexp.MustCompile("^" + pattern(lit.Elts[0]) + "$")
				for op := range right {
					if _, taken := does[op]; id.MatchString(op) && (!taken || from == ast.Node(x)) {
						does[op] = c.services
					}
				}
			}
			return true
		})
	}

	// What the handlers call.
	_, files = source(t, ".")
	webFuncs := functions(files, "Site")
	handler := map[string]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || len(lit.Elts) != 5 {
				return true
			}
			p, ok := lit.Elts[0].(*ast.BasicLit)
			h, ok2 := lit.Elts[1].(*ast.SelectorExpr)
			if s, err := strconv.Unquote(litValue(p)); ok && ok2 && err == nil {
				handler[s] = h.Sel.Name
			}
			return true
		})
	}
	calledBy := map[string]map[string]bool{}
	reads := map[string]bool{}
	for p, h := range handler {
		calledBy[p] = map[string]bool{}
		reach(webFuncs, h, map[string]bool{}, calledBy[p])
		if strings.HasPrefix(p, "GET ") {
			maps.Copy(reads, calledBy[p])
		}
	}
	if len(does) < len(right)-1 || len(handler) < 100 {
		t.Fatalf("of %d operations, the source of %d was found; %d handlers", len(right), len(does), len(handler))
	}
	if !calledBy["POST /signals/{id}/{verb}"]["Signals.Withdraw"] || !does["withdraw-signal"]["Signals.Withdraw"] {
		t.Fatal("the test does not see what handlers and operations call")
	}

	pageRights := map[string]string{}
	param := regexp.MustCompile(`\\\{[a-z]+\\\}`)
	left := map[string]bool{}
	for _, p := range web.Patterns() {
		left[p] = p != "/"
		m, path, _ := strings.Cut(strings.TrimSuffix(p, "{$}"), " ")
		like := regexp.MustCompile("^" + param.ReplaceAllString(regexp.QuoteMeta(path), "[^/]+") + "$")
		for line := range strings.Lines(rights) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == m && like.MatchString(f[1]) && (!strings.Contains(path, "{entry}") || f[1] == path) {
				pageRights[p] += " " + f[2]
			}
		}
	}
	for line := range strings.Lines(strings.TrimSpace(both)) {
		f := strings.Fields(line)
		p := f[0] + " " + f[1]
		if f[1] == "/" {
			p += "{$}"
		}
		if !left[p] {
			t.Errorf("%s is in this test and no page", p)
			continue
		}
		left[p] = false
		if f[2] == "page" {
			continue
		}
		var ops []string
		another := map[string]bool{}
		for _, name := range f[2:] {
			o, other := strings.CutPrefix(name, "~")
			another[o] = other
			if prefix, all := strings.CutSuffix(o, "*"); all {
				for id := range right {
					if strings.HasPrefix(id, prefix) {
						ops = append(ops, id)
					}
				}
				continue
			}
			ops = append(ops, o)
		}
		wrote, may := map[string]bool{}, false
		for _, o := range ops {
			used[o] = true
			if right[o] == "" {
				t.Errorf("%s: there is no operation %s", p, o)
				continue
			}
			maps.Copy(wrote, does[o])
			may = may || slices.Contains(strings.Fields(pageRights[p]), right[o])
			if !another[o] && !slices.ContainsFunc(slices.Collect(maps.Keys(does[o])), func(c string) bool { return c != "access.Allow" && calledBy[p][c] }) {
				t.Errorf("%s and %s call nothing in common: %v and %v", p, o, slices.Sorted(maps.Keys(calledBy[p])), slices.Sorted(maps.Keys(does[o])))
			}
		}
		if f[0] != "POST" {
			continue
		}
		if !may && pageRights[p] != " open" && pageRights[p] != " session" && p != "POST /settings/keys" { // of keys, only the session has an operation
			t.Errorf("%s needs%s, and none of %v does", p, pageRights[p], ops)
		}
		for c := range calledBy[p] {
			if !reads[c] && !wrote[c] && pageOnly[c] == "" {
				t.Errorf("%s calls %s, and none of %v does", p, c, ops)
			}
		}
	}
	for p, missing := range left {
		if missing {
			t.Errorf("%s is new: write into both of this test which operation of the JSON interface does the same", p)
		}
	}
	for o := range right {
		if !used[o] {
			t.Errorf("the operation %s is on no line of this test", o)
		}
	}
	for c := range reads {
		if s, _, _ := strings.Cut(c, "."); slices.Contains(services, s) && s != "Journal" && !apiCalls[c] && pageOnly[c] == "" {
			t.Errorf("pages call %s, and no operation does", c)
		}
	}
	for c := range pageOnly {
		if apiCalls[c] {
			t.Errorf("%s is said to be of pages only, and an operation calls it", c)
		}
	}
}

func litValue(l *ast.BasicLit) string {
	if l == nil {
		return ""
	}
	return l.Value
}
