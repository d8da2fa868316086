package web

import "net/http"

// route is one line of the table of pages. Open pages need no one signed in;
// what the others may show or do, the services decide. Cacheable pages are made
// without looking at any cookie. Regions of shared pages depend on the reader's
// partner, roles and language alone: see share.go.
type route struct {
	pattern   string
	do        handler
	open      bool
	cacheable bool
	shared    bool
}

// routes is every page and every form.
func (s *Site) routes() []route {
	return []route{
		{"GET /{$}", s.board, false, false, false},
		{"GET /asks", s.asks, false, false, false},
		{"GET /live", s.live, false, false, false},
		{"GET /a/{code}", s.ask, true, false, false},
		{"POST /a/{code}", s.askDo, true, false, false},
		{"GET /duty", s.duty, false, false, false},
		{"POST /duty", s.dutyDo, false, false, false},
		{"GET /messages", s.messages, false, false, false},
		{"POST /messages", s.messagesDo, false, false, false},

		{"GET /incidents", s.incidents, false, false, false},
		{"GET /incidents/new", s.notify, false, false, false},
		{"POST /incidents/new", s.notifyDo, false, false, false},
		{"GET /incidents/{id}", s.room, false, false, true},
		{"POST /incidents/{id}/acknowledge", s.acknowledgeDo, false, false, false},
		{"GET /incidents/{id}/acknowledgements", s.acknowledgements, false, false, false},
		{"GET /incidents/{id}/assess", s.assess, false, false, false},
		{"POST /incidents/{id}/assess", s.assessDo, false, false, false},
		{"GET /incidents/{id}/activate", s.activate, false, false, false},
		{"POST /incidents/{id}/activate", s.activateDo, false, false, false},
		{"GET /incidents/{id}/activations/{protocol}", s.activation, false, false, false},
		{"POST /incidents/{id}/activations/{protocol}/{verb}", s.activationDo, false, false, false},
		{"GET /incidents/{id}/updates/new", s.update, false, false, false},
		{"POST /incidents/{id}/updates/new", s.updateDo, false, false, false},
		{"GET /incidents/{id}/statements/{number}", s.statement, false, false, false},
		{"POST /incidents/{id}/statements/{number}", s.statementDo, false, false, false},
		{"GET /incidents/{id}/assets/new", s.asset, false, false, false},
		{"POST /incidents/{id}/assets/new", s.assetDo, false, false, false},
		{"GET /incidents/{id}/assets", s.assets, false, false, false},
		{"GET /incidents/{id}/signals", s.incidentSignals, false, false, false},
		{"GET /incidents/{id}/updates", s.updates, false, false, false},
		{"GET /incidents/{id}/tasks", s.tasks, false, false, false},
		{"POST /incidents/{id}/tasks", s.tasksDo, false, false, false},
		{"GET /incidents/{id}/questions", s.questions, false, false, false},
		{"POST /incidents/{id}/questions", s.questionsDo, false, false, false},
		{"GET /incidents/{id}/matches", s.matches, false, false, false},
		{"GET /incidents/{id}/matches.csv", s.matchesCSV, false, false, false},
		{"GET /incidents/{id}/handover", s.handover, false, false, false},
		{"POST /incidents/{id}/handover", s.handoverDo, false, false, false},
		{"GET /incidents/{id}/brief", s.brief, false, false, false},
		{"GET /incidents/{id}/stand-down", s.standDown, false, false, false},
		{"POST /incidents/{id}/stand-down", s.standDownDo, false, false, false},
		{"GET /incidents/{id}/timeline", s.timeline, false, false, false},
		{"GET /incidents/{id}/close", s.closing, false, false, false},
		{"POST /incidents/{id}/close", s.closingDo, false, false, false},

		{"GET /signals", s.signals, false, false, false},
		{"GET /signals/new", s.propose, false, false, false},
		{"POST /signals/new", s.proposeDo, false, false, false},
		{"GET /signals/{id}", s.signal, false, false, false},
		{"GET /signals/{id}/{verb}", s.decide, false, false, false},
		{"POST /signals/{id}/{verb}", s.decideDo, false, false, false},

		{"GET /groups/{id}", s.group, false, false, false},
		{"POST /groups/{id}/variants", s.variantDo, false, false, false},
		{"GET /groups/{id}/{verb}", s.groupDecide, false, false, false},
		{"POST /groups/{id}/{verb}", s.groupDecideDo, false, false, false},

		{"GET /edges", s.edges, false, false, false},
		{"GET /edges/new", s.newEdge, false, false, false},
		{"POST /edges/new", s.newEdgeDo, false, false, false},

		{"GET /partners", s.partners, false, false, false},
		{"GET /partners/new", s.newPartner, false, false, false},
		{"POST /partners/new", s.newPartnerDo, false, false, false},
		{"GET /partners/{id}", s.partner, false, false, false},
		{"POST /partners/{id}", s.partnerDo, false, false, false},
		{"GET /admin/members", s.members, false, false, false},
		{"POST /admin/members", s.membersDo, false, false, false},
		{"GET /admin/members/{id}", s.member, false, false, false},
		{"POST /admin/members/{id}", s.memberDo, false, false, false},
		{"GET /admin/requests/{id}", s.request, false, false, false},
		{"POST /admin/requests/{id}", s.requestDo, false, false, false},
		{"GET /admin/break-glass", s.glass, false, false, false},
		{"POST /admin/break-glass", s.glassDo, false, false, false},
		{"GET /admin/tokens", s.tokens, false, false, false},
		{"POST /admin/tokens", s.tokensDo, false, false, false},

		{"GET /admin/health", s.health, false, false, false},

		{"GET /protocols", s.protocols, false, false, false},
		{"GET /protocols/new", s.newVersion, false, false, false},
		{"POST /protocols/new", s.newVersionDo, false, false, false},
		{"GET /protocols/{id}", s.protocol, false, false, false},
		{"GET /protocols/{id}/diff", s.protocolDiff, false, false, false},
		{"GET /protocols/{id}/file", s.protocolFile, false, false, false},
		{"GET /protocols/{id}/versions/{hash}", s.protocolVersion, false, false, false},
		{"POST /protocols/{id}/versions/{hash}/{verb}", s.versionDo, false, false, false},
		{"GET /journal", s.journal, false, false, false},
		{"GET /journal/verify", s.verify, true, false, false},
		{"GET /journal/{entry}", s.journalEntry, false, false, false},

		{"GET /more", s.more, false, false, false},
		{"GET /help", s.help, true, false, false},
		{"GET /help/keys", s.helpKeys, true, false, false},
		{"GET /glossary", s.glossary, true, false, false},
		{"GET /search", s.find, false, false, false},
		{"POST /search", s.findDo, false, false, false},
		{"GET /public", s.publicHome, true, true, false},
		{"GET /public/incidents/{id}", s.publicIncident, true, true, false},
		{"GET /public/verify", s.publicVerify, true, true, false},
		{"GET /public/feed.atom", s.publicFile, true, true, false},
		{"GET /public/status.json", s.publicFile, true, true, false},
		{"GET /public/status.dsse.json", s.publicFile, true, true, false},
		{"GET /settings", s.settings, true, false, false},
		{"POST /settings", s.settingsDo, true, false, false},
		{"GET /settings/profile", s.profile, false, false, false},
		{"POST /settings/profile", s.profileDo, false, false, false},
		{"GET /settings/keys", s.keys, false, false, false},
		{"POST /settings/keys", s.keysDo, false, false, false},
		{"GET /sign-in", s.signIn, true, false, false},
		{"POST /sign-in", s.signInDo, true, false, false},
		{"POST /sign-out", s.signOut, true, false, false},
		{"GET /step-up", s.stepUp, false, false, false},
		{"POST /step-up", s.stepUpDo, false, false, false},
		{"GET /first/{code}", s.first, true, false, false},
		{"POST /first/{code}", s.firstDo, true, false, false},
		{"GET /oidc/start", s.elsewhere, true, false, false},
		{"GET /oidc/callback", s.elsewhereDone, true, false, false},
		{"GET /open/{code}", s.open, true, false, false},
		{"/", s.missing, true, false, false},
	}
}

func (s *Site) missing(_ http.ResponseWriter, _ *http.Request, f *Frame) error {
	return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
}
