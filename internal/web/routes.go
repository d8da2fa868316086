package web

import "net/http"

// route is one line of the table of pages. Open pages need no one signed in;
// what the others may show or do, the services decide. Cacheable pages are made
// without looking at any cookie.
type route struct {
	pattern   string
	do        handler
	open      bool
	cacheable bool
}

// routes is every page and every form.
func (s *Site) routes() []route {
	return []route{
		{"GET /{$}", s.board, false, false},
		{"GET /asks", s.asks, false, false},
		{"GET /live", s.live, false, false},
		{"GET /a/{code}", s.ask, true, false},
		{"POST /a/{code}", s.askDo, true, false},
		{"GET /duty", s.duty, false, false},
		{"POST /duty", s.dutyDo, false, false},
		{"GET /messages", s.messages, false, false},
		{"POST /messages", s.messagesDo, false, false},

		{"GET /incidents", s.incidents, false, false},
		{"GET /incidents/new", s.notify, false, false},
		{"POST /incidents/new", s.notifyDo, false, false},
		{"GET /incidents/{id}", s.room, false, false},
		{"POST /incidents/{id}/acknowledge", s.acknowledgeDo, false, false},
		{"GET /incidents/{id}/acknowledgements", s.acknowledgements, false, false},
		{"GET /incidents/{id}/assess", s.assess, false, false},
		{"POST /incidents/{id}/assess", s.assessDo, false, false},
		{"GET /incidents/{id}/activate", s.activate, false, false},
		{"POST /incidents/{id}/activate", s.activateDo, false, false},
		{"GET /incidents/{id}/activations/{protocol}", s.activation, false, false},
		{"POST /incidents/{id}/activations/{protocol}/{verb}", s.activationDo, false, false},
		{"GET /incidents/{id}/updates/new", s.update, false, false},
		{"POST /incidents/{id}/updates/new", s.updateDo, false, false},
		{"GET /incidents/{id}/assets/new", s.asset, false, false},
		{"POST /incidents/{id}/assets/new", s.assetDo, false, false},
		{"GET /incidents/{id}/assets", s.assets, false, false},
		{"GET /incidents/{id}/signals", s.incidentSignals, false, false},
		{"GET /incidents/{id}/updates", s.updates, false, false},
		{"GET /incidents/{id}/tasks", s.tasks, false, false},
		{"POST /incidents/{id}/tasks", s.tasksDo, false, false},
		{"GET /incidents/{id}/questions", s.questions, false, false},
		{"POST /incidents/{id}/questions", s.questionsDo, false, false},
		{"GET /incidents/{id}/matches", s.matches, false, false},
		{"GET /incidents/{id}/matches.csv", s.matchesCSV, false, false},
		{"GET /incidents/{id}/handover", s.handover, false, false},
		{"POST /incidents/{id}/handover", s.handoverDo, false, false},
		{"GET /incidents/{id}/brief", s.brief, false, false},
		{"GET /incidents/{id}/stand-down", s.standDown, false, false},
		{"POST /incidents/{id}/stand-down", s.standDownDo, false, false},
		{"GET /incidents/{id}/timeline", s.timeline, false, false},
		{"GET /incidents/{id}/close", s.closing, false, false},
		{"POST /incidents/{id}/close", s.closingDo, false, false},

		{"GET /signals", s.signals, false, false},
		{"GET /signals/new", s.propose, false, false},
		{"POST /signals/new", s.proposeDo, false, false},
		{"GET /signals/{id}", s.signal, false, false},
		{"GET /signals/{id}/{verb}", s.decide, false, false},
		{"POST /signals/{id}/{verb}", s.decideDo, false, false},

		{"GET /groups/{id}", s.group, false, false},
		{"POST /groups/{id}/variants", s.variantDo, false, false},
		{"GET /groups/{id}/{verb}", s.groupDecide, false, false},
		{"POST /groups/{id}/{verb}", s.groupDecideDo, false, false},

		{"GET /edges", s.edges, false, false},
		{"GET /edges/new", s.newEdge, false, false},
		{"POST /edges/new", s.newEdgeDo, false, false},

		{"GET /partners", s.partners, false, false},
		{"GET /partners/new", s.newPartner, false, false},
		{"POST /partners/new", s.newPartnerDo, false, false},
		{"GET /partners/{id}", s.partner, false, false},
		{"GET /admin/members", s.members, false, false},
		{"POST /admin/members", s.membersDo, false, false},
		{"GET /admin/members/{id}", s.member, false, false},
		{"POST /admin/members/{id}", s.memberDo, false, false},
		{"GET /admin/requests/{id}", s.request, false, false},
		{"POST /admin/requests/{id}", s.requestDo, false, false},
		{"GET /admin/break-glass", s.glass, false, false},
		{"POST /admin/break-glass", s.glassDo, false, false},
		{"GET /admin/tokens", s.tokens, false, false},
		{"POST /admin/tokens", s.tokensDo, false, false},

		{"GET /admin/health", s.health, false, false},

		{"GET /protocols", s.protocols, false, false},
		{"GET /protocols/new", s.newVersion, false, false},
		{"POST /protocols/new", s.newVersionDo, false, false},
		{"GET /protocols/{id}", s.protocol, false, false},
		{"GET /protocols/{id}/diff", s.protocolDiff, false, false},
		{"GET /protocols/{id}/file", s.protocolFile, false, false},
		{"GET /protocols/{id}/versions/{hash}", s.protocolVersion, false, false},
		{"POST /protocols/{id}/versions/{hash}/{verb}", s.versionDo, false, false},
		{"GET /journal", s.journal, false, false},
		{"GET /journal/verify", s.verify, true, false},
		{"GET /journal/{entry}", s.journalEntry, false, false},

		{"GET /more", s.more, false, false},
		{"GET /help", s.help, true, false},
		{"GET /help/keys", s.helpKeys, true, false},
		{"GET /glossary", s.glossary, true, false},
		{"GET /search", s.find, false, false},
		{"GET /public", s.publicHome, true, true},
		{"GET /public/incidents/{id}", s.publicIncident, true, true},
		{"GET /public/verify", s.publicVerify, true, true},
		{"GET /public/feed.atom", s.publicFile, true, true},
		{"GET /public/status.json", s.publicFile, true, true},
		{"GET /public/status.dsse.json", s.publicFile, true, true},
		{"GET /settings", s.settings, true, false},
		{"POST /settings", s.settingsDo, true, false},
		{"GET /settings/profile", s.profile, false, false},
		{"POST /settings/profile", s.profileDo, false, false},
		{"GET /settings/keys", s.keys, false, false},
		{"POST /settings/keys", s.keysDo, false, false},
		{"GET /sign-in", s.signIn, true, false},
		{"POST /sign-in", s.signInDo, true, false},
		{"POST /sign-out", s.signOut, true, false},
		{"GET /step-up", s.stepUp, false, false},
		{"POST /step-up", s.stepUpDo, false, false},
		{"GET /first/{code}", s.first, true, false},
		{"POST /first/{code}", s.firstDo, true, false},
		{"GET /oidc/start", s.elsewhere, true, false},
		{"GET /oidc/callback", s.elsewhereDone, true, false},
		{"GET /open/{code}", s.open, true, false},
		{"/", s.missing, true, false},
	}
}

func (s *Site) missing(_ http.ResponseWriter, _ *http.Request, f *Frame) error {
	return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
}
