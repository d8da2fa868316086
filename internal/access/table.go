package access

// The actions. A new action needs a row in the table below.
const (
	ReadIncidents  Action = "incident.read"
	Notify         Action = "incident.notify"
	Assess         Action = "incident.assess"
	Activate       Action = "activation.propose" // lead it: level, hand-over, calls; proposing it is a vote
	Vote           Action = "activation.vote"
	PostUpdate     Action = "update.post"
	Acknowledge    Action = "incident.acknowledge"
	DoTask         Action = "task.do"
	Ask            Action = "question.ask" // ask, answer
	ReadSignals    Action = "signal.read"
	AddAsset       Action = "asset.add"
	Propose        Action = "signal.propose"
	AddVariant     Action = "signal.variant" // an altered copy, to a group
	Decide         Action = "signal.decide"  // approve, refuse, resume
	Suspend        Action = "signal.suspend"
	Withdraw       Action = "signal.withdraw"
	ReadPartners   Action = "partner.read"
	AddPartner     Action = "partner.add"
	DisablePartner Action = "partner.disable" // deactivate, activate again
	ManageMembers  Action = "member.manage"
	ConfirmRequest Action = "request.confirm" // as the second of two people
	ReadMembers    Action = "member.read"     // how the members of one's partner sign in
	ManageTokens   Action = "token.manage"
	ReadTokens     Action = "token.read"
	OwnTokens      Action = "token.own"    // for oneself, with no more than one's own roles
	ChangeKeys     Action = "key.change"   // one's own passkeys, password, codes and links
	OwnProfile     Action = "profile.own"  // one's own language, time zone, open sessions
	BreakGlass     Action = "access.break" // read one object beyond scope, told to all
	ReadEdges      Action = "edge.read"
	FollowFeed     Action = "feed.follow"
	ServeEdges     Action = "feed.relay"
	ReportTallies  Action = "feed.tally"
	SendVariant    Action = "feed.variant"
	ReadJournal    Action = "journal.read"
	ErasePayload   Action = "journal.erase"
	ReadHealth     Action = "health.read"

	ReadDuty       Action = "duty.read"
	ManageDuty     Action = "duty.manage"
	HandOver       Action = "duty.handover"
	ReadMessages   Action = "message.read"   // own partner's; an operator: whether channels work, of all
	ManageChannels Action = "channel.manage" // one's own; an administrator: those of the partner
)

var (
	people   = []Role{Administrator, Officer, Analyst, Approver, Reviewer, Observer}
	humans   = append([]Role{Operator}, people...)
	deciders = []PartnerKind{Government, Intergovernmental, Platform}
)

// table is the whole of who may do what. Roles without a row here may do
// nothing; the matrix test walks it.
var table = []Rule{
	{ReadIncidents, people, ScopeRead, nil, false, "read incidents"},
	{Notify, []Role{Officer, Analyst, Reviewer}, ScopePropose, nil, false, "notify an incident"},
	{Assess, []Role{Officer}, ScopePropose, nil, false, "assess an incident"},
	{Activate, []Role{Officer}, ScopeDecide, deciders, false, "lead an activation"},
	{Vote, []Role{Officer}, ScopeDecide, deciders, true, "vote"},
	{PostUpdate, []Role{Officer}, ScopePropose, nil, false, "post a situation update"},
	{Acknowledge, []Role{Officer, Analyst, Approver, Reviewer, Administrator, Observer}, ScopePropose, nil, false, "acknowledge"},
	{DoTask, []Role{Officer, Analyst, Reviewer}, ScopePropose, nil, false, "report a task"},
	{Ask, []Role{Officer, Analyst, Approver, Reviewer, Observer}, ScopePropose, nil, false, "ask or answer a question"},
	{ReadSignals, people, ScopeRead, nil, false, "read signals"},
	{AddAsset, []Role{Analyst, Officer}, ScopePropose, nil, false, "add an asset"},
	{Propose, []Role{Analyst, Officer}, ScopePropose, nil, false, "propose a signal"},
	{AddVariant, []Role{Analyst, Officer, Reviewer}, ScopePropose, nil, false, "add a variant to a group"},
	{Decide, []Role{Approver}, ScopeDecide, nil, true, "approve or refuse a signal"},
	{Suspend, []Role{Approver, Reviewer}, ScopeDecide, nil, false, "suspend a signal"},
	{Withdraw, []Role{Approver}, ScopeDecide, nil, true, "withdraw a signal"},
	{ReadPartners, append([]Role{Operator}, people...), ScopeRead, nil, false, "read the directory of partners"},
	{AddPartner, []Role{Administrator}, ScopeAdmin, nil, true, "add a partner"},
	{DisablePartner, []Role{Administrator}, ScopeAdmin, nil, true, "deactivate a partner"},
	{ConfirmRequest, []Role{Administrator}, ScopeAdmin, nil, true, "confirm what a colleague asks for"},
	{ManageMembers, []Role{Administrator}, ScopeAdmin, nil, true, "manage members"},
	{ReadMembers, []Role{Administrator}, ScopeAdmin, nil, false, "see how members sign in"},
	{ManageTokens, []Role{Administrator}, ScopeAdmin, nil, true, "manage tokens"},
	{ReadTokens, []Role{Administrator}, ScopeAdmin, nil, false, "list tokens"},
	{OwnTokens, humans, "", nil, true, "make a token of your own"},
	{ChangeKeys, humans, "", nil, true, "change your keys"},
	{OwnProfile, humans, ScopePropose, nil, false, "change your own settings"},
	{BreakGlass, []Role{Administrator, Officer, Observer}, "", nil, true, "read beyond your scope"},
	{ReadEdges, append([]Role{Operator}, people...), ScopeRead, nil, false, "read the state of edges"},
	{FollowFeed, []Role{Edge, Relay}, ScopeFeed, nil, false, "follow the feed"},
	{ServeEdges, []Role{Relay}, ScopeFeed, nil, false, "serve its partner's edges"},
	{ReportTallies, []Role{Edge}, ScopeFeed, nil, false, "report tallies"},
	{SendVariant, []Role{Edge}, ScopeFeed, nil, false, "send a variant from an edge"},
	{ReadJournal, people, ScopeRead, nil, false, "read the journal"},
	{ErasePayload, []Role{Administrator}, ScopeAdmin, nil, true, "erase a payload"},
	{ReadHealth, []Role{Operator, Administrator}, ScopeRead, nil, false, "read the node's health"},
	{ReadDuty, people, ScopeRead, nil, false, "read the roster"},
	{ManageDuty, []Role{Administrator}, ScopeAdmin, nil, false, "change the roster"},
	{HandOver, []Role{Officer, Analyst, Approver, Reviewer, Administrator}, ScopePropose, nil, false, "hand over a shift"},
	{ReadMessages, append([]Role{Operator}, people...), ScopeRead, nil, false, "read how messages were delivered"},
	{ManageChannels, append([]Role{Operator}, people...), ScopeAdmin, nil, false, "manage channels of messages"},
}

var rules = func() map[Action]Rule {
	m := make(map[Action]Rule, len(table))
	for _, r := range table {
		m[r.Action] = r
	}
	return m
}()
