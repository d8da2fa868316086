package api

import (
	"context"
	"net/http"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
)

// Me is who the token stands for.
type Me struct {
	Partner string              `json:"partner"`
	Kind    access.PartnerKind  `json:"kind"`
	Member  string              `json:"member,omitempty" doc:"Of a personal token; a machine's has none"`
	Name    string              `json:"name"`
	Roles   []access.Role       `json:"roles" doc:"What it can do now: a personal token loses a role with its member"`
	Scopes  []access.TokenScope `json:"scopes"`
	Token   string              `json:"token"`
}

// Invitation is a new one-time code.
type Invitation struct {
	Code string `json:"code" doc:"Shown this once: the member opens /first/CODE"`
}

// Ended says how many sessions were ended.
type Ended struct {
	Ended int `json:"ended"`
}

// SignInState is a member with the state of the sign-in.
type SignInState struct {
	partner.MemberInfo
	State string `json:"state" enum:"active,invited,lapsed,withdrawn,disabled"`
}

// Keys of a person are changed on pages alone: a token is no person, cannot prove presence, and must not be worth more than itself.
func (s *server) identityRoutes() {
	add(s, op{"get-me", http.MethodGet, "/api/v1/me", "Read who the token stands for", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Me }, error) {
			a := actor(ctx)
			if err := access.Allow(a, access.ReadPartners, s.Now()); err != nil {
				return nil, err
			}
			m := Me{Partner: a.Partner, Kind: a.Kind, Member: a.Member, Name: a.Name, Roles: a.Roles, Scopes: a.Scopes, Token: a.Token}
			if m.Roles == nil {
				m.Roles = []access.Role{}
			}
			return &struct{ Body Me }{m}, nil
		})
	add(s, op{"list-my-sessions", http.MethodGet, "/api/v1/me/sessions", "List your open sessions, with a personal token", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[partner.SessionInfo] }, error) {
			if err := access.Allow(actor(ctx), access.ReadPartners, s.Now()); err != nil {
				return nil, err
			}
			list, err := s.Partners.Sessions(ctx, actor(ctx), "")
			return &struct{ Body Page[partner.SessionInfo] }{Page[partner.SessionInfo]{Items: list}}, err
		})
	add(s, op{"end-my-session", http.MethodPost, "/api/v1/me/sessions/{id}/end", "End one of your sessions, with a personal token", access.OwnProfile, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body Ended }, error) {
			return &struct{ Body Ended }{Ended{1}}, s.Partners.EndSession(ctx, actor(ctx), in.ID, "")
		})
	add(s, op{"list-my-keys", http.MethodGet, "/api/v1/me/keys", "List the ways in which you sign in, with a personal token", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body partner.Keys }, error) {
			if err := access.Allow(actor(ctx), access.ReadPartners, s.Now()); err != nil {
				return nil, err
			}
			k, err := s.Partners.Keys(ctx, actor(ctx))
			return &struct{ Body partner.Keys }{k}, err
		})
	add(s, op{"set-my-profile", http.MethodPut, "/api/v1/me/profile", "Set your own language and time zone, with a personal token", access.OwnProfile, http.StatusNoContent},
		func(ctx context.Context, in *struct{ Body partner.Profile }) (*struct{}, error) {
			return nil, s.Partners.SetProfile(ctx, actor(ctx), in.Body)
		})
	add(s, op{"set-check-word", http.MethodPut, "/api/v1/me/check-word", "Set the word that ends each message to you, with a personal token; empty: none", access.ManageChannels, http.StatusNoContent},
		func(ctx context.Context, in *struct {
			Body struct {
				Word string `json:"word" maxLength:"100"`
			}
		},
		) (*struct{}, error) {
			return nil, s.Notify.SetWord(ctx, actor(ctx), in.Body.Word)
		})
	add(s, op{"list-my-tokens", http.MethodGet, "/api/v1/me/tokens", "List your personal tokens, with one of them", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[Token] }, error) {
			if err := access.Allow(actor(ctx), access.ReadPartners, s.Now()); err != nil {
				return nil, err
			}
			list, err := s.Partners.OwnTokens(ctx, actor(ctx))
			return &struct{ Body Page[Token] }{Page[Token]{Items: tokens(list, s.Now())}}, err
		})
	add(s, op{"list-sign-ins", http.MethodGet, "/api/v1/sign-ins", "List how your partner's members sign in: invitations, keys, open sessions", access.ReadMembers, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[SignInState] }, error) {
			list, err := s.Partners.Roster(ctx, actor(ctx))
			out := &struct{ Body Page[SignInState] }{Page[SignInState]{Items: []SignInState{}}}
			for _, m := range list {
				out.Body.Items = append(out.Body.Items, SignInState{m, m.State(s.Now())})
			}
			return out, err
		})
	add(s, op{"invite-member", http.MethodPost, "/api/v1/members/{id}/invitation", "Make a member a new one-time code; the old one is void", access.ManageMembers, http.StatusCreated},
		func(ctx context.Context, in *IDInput) (*struct{ Body Invitation }, error) {
			code, err := s.Partners.Invite(ctx, actor(ctx), in.ID)
			return &struct{ Body Invitation }{Invitation{code}}, err
		})
	add(s, op{"end-member-sessions", http.MethodPost, "/api/v1/members/{id}/sessions/end", "End all sessions of a member of your partner", access.ManageMembers, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body Ended }, error) {
			n, err := s.Partners.EndMemberSessions(ctx, actor(ctx), in.ID)
			return &struct{ Body Ended }{Ended{n}}, err
		})
	add(s, op{"list-break-glass", http.MethodGet, "/api/v1/break-glass", "List every use of break-glass, the newest first", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[partner.Glass] }, error) {
			list, err := s.Partners.Glasses(ctx, actor(ctx))
			return &struct{ Body Page[partner.Glass] }{Page[partner.Glass]{Items: list}}, err
		})
}

func tokens(list []partner.Token, now time.Time) []Token {
	out := []Token{}
	for _, t := range list {
		out = append(out, Token{t, t.State(now)})
	}
	return out
}
