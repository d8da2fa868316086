package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// InitOptions say what a new node is made of. The zero value of each has a
// default.
type InitOptions struct {
	Data     string // folder; made if it is not there, and empty if it is
	Database string // "": SQLite in the folder
	Origin   string // name of the journal; "": "siaga.local/" and 8 random hex digits
	Partner  partner.NewPartner
	Admin    partner.NewMember
	Now      func() time.Time
}

// Initialised is what Init made.
type Initialised struct {
	Partner partner.Partner
	Admin   partner.Member
	Code    string // the first administrator's one-time code
	Origin  string
}

// Init makes a node's keys, its database, the first partner and its first
// administrator. It changes nothing in a folder that holds a node already, and
// takes back what it made if it fails halfway.
func Init(ctx context.Context, o InitOptions) (_ Initialised, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Partner.Name == "" {
		o.Partner.Name = "Secretariat"
	}
	if o.Partner.Kind == "" {
		o.Partner.Kind = access.Intergovernmental
	}
	if o.Partner.Country == "" {
		o.Partner.Country = "ID"
	}
	o.Partner.Lead = true
	if o.Admin.Name == "" {
		o.Admin.Name = "First administrator"
	}
	if o.Admin.Email == "" {
		o.Admin.Email = "admin@siaga.local"
	}
	if o.Admin.Roles == nil {
		o.Admin.Roles = []access.Role{access.Administrator, access.Operator, access.Officer, access.Analyst, access.Approver, access.Observer}
	}
	if o.Origin == "" {
		b := make([]byte, 4)
		if _, err := rand.Read(b); err != nil {
			return Initialised{}, fmt.Errorf("naming the journal: %w", err)
		}
		o.Origin = "siaga.local/" + hex.EncodeToString(b)
	}
	if err := ownFolder(o.Data, &aNode); err != nil {
		return Initialised{}, err
	}
	existed := true
	if entries, err := os.ReadDir(o.Data); errors.Is(err, fs.ErrNotExist) {
		existed = false
	} else if err != nil {
		return Initialised{}, problem.Newf(problem.Invalid, "the data folder %s cannot be read: %v", o.Data, err).WithFix("name another folder with --data")
	} else if len(entries) > 0 {
		if _, err := os.Stat(filepath.Join(o.Data, databaseFile)); err == nil {
			return Initialised{}, problem.Newf(problem.Conflict, "%s holds a node already", o.Data).WithFix("start it with siaga serve --data %s, or name another folder", o.Data)
		}
		return Initialised{}, problem.Newf(problem.Conflict, "%s is not empty", o.Data).WithFix("name an empty or a new folder with --data")
	}
	if err := os.MkdirAll(o.Data, 0o700); err != nil {
		return Initialised{}, problem.Newf(problem.Invalid, "the data folder %s cannot be made: %v", o.Data, err).WithFix("name another folder with --data")
	}
	defer func() {
		if err == nil {
			return
		}
		made, _ := os.ReadDir(o.Data) // it was empty, so all that is there is ours
		for _, n := range made {
			_ = os.RemoveAll(filepath.Join(o.Data, n.Name())) // best effort: the error that is returned says more
		}
		if !existed {
			_ = os.Remove(o.Data)
		}
	}()
	set, err := keys.Make(filepath.Join(o.Data, "keys"), o.Origin)
	if err != nil {
		return Initialised{}, err
	}
	db, err := openStore(ctx, StoreOptions{Data: o.Data, Database: o.Database, Create: true})
	if err != nil {
		return Initialised{}, err
	}
	n, err := assemble(db, set, Options{Data: o.Data, Now: o.Now})
	if err != nil {
		return Initialised{}, errors.Join(err, db.Close())
	}
	out := Initialised{Origin: o.Origin}
	out.Partner, out.Admin, out.Code, err = n.Partners.First(ctx, o.Partner, o.Admin)
	if err == nil {
		_, err = n.Log.Sign(ctx)
	}
	return out, errors.Join(err, db.Close())
}
