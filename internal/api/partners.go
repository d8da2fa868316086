package api

import (
	"context"
	"net/http"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Token is an API token without its secret.
type Token struct {
	partner.Token
	State string `json:"state" enum:"active,expired,revoked"`
}

// NewToken asks for a token.
type NewToken struct {
	Name    string              `json:"name,omitempty" maxLength:"60"`
	Roles   []access.Role       `json:"roles" minItems:"1"`
	Scopes  []access.TokenScope `json:"scopes,omitempty"`
	Expires time.Time           `json:"expires,omitzero" doc:"Default: in 30 days"`
}

// NewPartner asks for a partner to be added.
type NewPartner struct {
	partner.NewPartner
	Why string `json:"why" maxLength:"500" doc:"One sentence of 10 to 500 characters; the second administrator reads it"`
}

// Request is what one administrator asked for and another confirms.
type Request struct {
	partner.Request
	State string `json:"state" enum:"open,confirmed,refused,lapsed"`
}

// NewRequest asks for what two administrators decide. Exactly one of new,
// roles, enable and code is set.
type NewRequest struct {
	New    *partner.NewMember `json:"new,omitempty" doc:"Someone to be invited as administrator"`
	Member string             `json:"member,omitempty" maxLength:"40" doc:"The member whom roles, enable or code is about"`
	Roles  []access.Role      `json:"roles,omitempty" doc:"All roles that the member has then"`
	Enable bool               `json:"enable,omitempty" doc:"Enable an administrator again"`
	Code   bool               `json:"code,omitempty" doc:"A new one-time code for an administrator"`
	Why    string             `json:"why" maxLength:"500" doc:"One sentence of 10 to 500 characters; the second administrator reads it"`
}

// Confirmed is a request that was carried out.
type Confirmed struct {
	Request
	Code string `json:"code,omitempty" doc:"If one was asked for, shown this once: the person opens /first/CODE"`
}

func (s *server) askTwo(ctx context.Context, n NewRequest) (partner.Request, error) {
	by := actor(ctx)
	if err := access.Allow(by, access.ManageMembers, s.Now()); err != nil {
		return partner.Request{}, err
	}
	switch {
	case n.New != nil && n.Member == "" && n.Roles == nil && !n.Enable && !n.Code:
		return s.Partners.AskForMember(ctx, by, *n.New, n.Why)
	case n.New == nil && n.Code && n.Roles == nil && !n.Enable:
		return s.Partners.AskForCode(ctx, by, n.Member, n.Why)
	case n.New == nil && !n.Code && (n.Roles != nil) != n.Enable:
		return s.Partners.AskToChange(ctx, by, n.Member, partner.Change{Roles: n.Roles, Enable: n.Enable}, n.Why)
	}
	return partner.Request{}, problem.New(problem.Invalid, "a request asks for one thing", "send one of new, roles, enable and code, with the member unless it is new")
}

func (s *server) request(q partner.Request) *struct{ Body Request } {
	return &struct{ Body Request }{Request{q, q.State(s.Now())}}
}

func (s *server) partnerRoutes() {
	add(s, op{"list-partners", http.MethodGet, "/api/v1/partners", "List the partners", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[partner.Partner] }, error) {
			list, err := s.Partners.List(ctx, actor(ctx))
			return &struct{ Body Page[partner.Partner] }{Page[partner.Partner]{Items: list}}, err
		})
	add(s, op{"get-partner", http.MethodGet, "/api/v1/partners/{id}", "Read a partner", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body partner.Partner }, error) {
			p, err := s.Partners.Get(ctx, actor(ctx), in.ID)
			return &struct{ Body partner.Partner }{p}, err
		})
	add(s, op{"add-partner", http.MethodPost, "/api/v1/partners", "Ask for a partner to be added; another administrator of yours confirms it within 30 minutes", access.AddPartner, http.StatusAccepted},
		func(ctx context.Context, in *struct{ Body NewPartner }) (*struct{ Body Request }, error) {
			q, err := s.Partners.AskToAdd(ctx, actor(ctx), in.Body.NewPartner, in.Body.Why)
			return s.request(q), err
		})
	type leaving struct {
		IDInput
		Body struct {
			Why string `json:"why" maxLength:"500" doc:"One sentence of 10 to 500 characters; the second administrator reads it"`
		}
	}
	add(s, op{"disable-partner", http.MethodPost, "/api/v1/partners/{id}/disable", "Ask for a partner to be deactivated; another administrator of yours confirms it within 30 minutes, which ends its sessions, tokens and streams", access.DisablePartner, http.StatusAccepted},
		func(ctx context.Context, in *leaving) (*struct{ Body Request }, error) {
			q, err := s.Partners.AskToDisable(ctx, actor(ctx), in.ID, true, in.Body.Why)
			return s.request(q), err
		})
	add(s, op{"enable-partner", http.MethodPost, "/api/v1/partners/{id}/enable", "Ask for a partner to be activated again; another administrator of yours confirms it within 30 minutes", access.DisablePartner, http.StatusAccepted},
		func(ctx context.Context, in *leaving) (*struct{ Body Request }, error) {
			q, err := s.Partners.AskToDisable(ctx, actor(ctx), in.ID, false, in.Body.Why)
			return s.request(q), err
		})
	add(s, op{"make-request", http.MethodPost, "/api/v1/requests", "Ask for what two administrators decide about administrators; another of yours confirms it within 30 minutes", access.ManageMembers, http.StatusAccepted},
		func(ctx context.Context, in *struct{ Body NewRequest }) (*struct{ Body Request }, error) {
			q, err := s.askTwo(ctx, in.Body)
			return s.request(q), err
		})
	add(s, op{"list-requests", http.MethodGet, "/api/v1/requests", "List what your partner's administrators asked for in the last day, the newest first", access.ReadMembers, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[Request] }, error) {
			list, err := s.Partners.Requests(ctx, actor(ctx))
			out := &struct{ Body Page[Request] }{Page[Request]{Items: []Request{}}}
			for _, q := range list {
				out.Body.Items = append(out.Body.Items, s.request(q).Body)
			}
			return out, err
		})
	add(s, op{"get-request", http.MethodGet, "/api/v1/requests/{id}", "Read a request of your partner", access.ReadMembers, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body Request }, error) {
			q, err := s.Partners.Request(ctx, actor(ctx), in.ID)
			return s.request(q), err
		})
	add(s, op{"confirm-request", http.MethodPost, "/api/v1/requests/{id}/confirm", "Confirm a request as its second person, which carries it out", access.ConfirmRequest, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body Confirmed }, error) {
			q, code, err := s.Partners.Confirm(ctx, actor(ctx), in.ID)
			return &struct{ Body Confirmed }{Confirmed{s.request(q).Body, code}}, err
		})
	add(s, op{"refuse-request", http.MethodPost, "/api/v1/requests/{id}/refuse", "Refuse a request, or take back your own", access.ConfirmRequest, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body Request }, error) {
			q, err := s.Partners.Refuse(ctx, actor(ctx), in.ID)
			return s.request(q), err
		})
	add(s, op{"list-members", http.MethodGet, "/api/v1/members", "List your partner's members", access.ReadPartners, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[partner.Member] }, error) {
			list, err := s.Partners.Members(ctx, actor(ctx))
			return &struct{ Body Page[partner.Member] }{Page[partner.Member]{Items: list}}, err
		})
	add(s, op{"add-member", http.MethodPost, "/api/v1/members", "Add a member who is no administrator; the answer has the one-time code of the first sign-in", access.ManageMembers, http.StatusCreated},
		func(ctx context.Context, in *struct{ Body partner.NewMember }) (*struct {
			Body struct {
				partner.Member
				Code string `json:"code" doc:"Shown this once: the member opens /first/CODE"`
			}
		}, error,
		) {
			m, code, err := s.Partners.AddMember(ctx, actor(ctx), in.Body)
			out := &struct {
				Body struct {
					partner.Member
					Code string `json:"code" doc:"Shown this once: the member opens /first/CODE"`
				}
			}{}
			out.Body.Member, out.Body.Code = m, code
			return out, err
		})
	add(s, op{"change-member", http.MethodPost, "/api/v1/members/{id}", "Change a member's roles, or disable the member; who is administrator takes a request", access.ManageMembers, http.StatusOK},
		func(ctx context.Context, in *struct {
			IDInput
			Body partner.Change
		},
		) (*struct{ Body partner.Member }, error) {
			m, err := s.Partners.ChangeMember(ctx, actor(ctx), in.ID, in.Body)
			return &struct{ Body partner.Member }{m}, err
		})
	add(s, op{"list-tokens", http.MethodGet, "/api/v1/tokens", "List your partner's tokens", access.ReadTokens, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[Token] }, error) {
			list, err := s.Partners.Tokens(ctx, actor(ctx))
			out := &struct{ Body Page[Token] }{Page[Token]{Items: []Token{}}}
			for _, t := range list {
				out.Body.Items = append(out.Body.Items, Token{t, t.State(s.Now())})
			}
			return out, err
		})
	add(s, op{"create-token", http.MethodPost, "/api/v1/tokens", "Make a token; the answer shows its text this once", access.ManageTokens, http.StatusCreated},
		func(ctx context.Context, in *struct{ Body NewToken }) (*struct {
			Body struct {
				Token
				Text string `json:"text" doc:"The token itself"`
			}
		}, error,
		) {
			out := &struct {
				Body struct {
					Token
					Text string `json:"text" doc:"The token itself"`
				}
			}{}
			n := partner.NewToken{Name: in.Body.Name, Roles: in.Body.Roles, Scopes: in.Body.Scopes}
			if !in.Body.Expires.IsZero() {
				n.Life = in.Body.Expires.Sub(s.Now())
			}
			t, text, err := s.Partners.CreateToken(ctx, actor(ctx), n)
			out.Body.Token, out.Body.Text = Token{t, "active"}, text
			return out, err
		})
	add(s, op{"revoke-token", http.MethodPost, "/api/v1/tokens/{id}/revoke", "End a token at once", access.ManageTokens, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body Token }, error) {
			t, err := s.Partners.RevokeToken(ctx, actor(ctx), in.ID)
			return &struct{ Body Token }{Token{t, "revoked"}}, err
		})
}
