package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/postgres"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

// StoreOptions say which store to open.
type StoreOptions struct {
	Data     string // folder of the node
	Database string // address of a PostgreSQL database; "": SQLite in the folder
	Create   bool   // make it; it may not be there yet
	Shared   bool   // beside a running node, for a short command
	ReadOnly bool   // write nothing (SQLite)
}

// openStore opens the node's store.
func openStore(ctx context.Context, o StoreOptions) (journal.Store, error) {
	if o.Database != "" {
		open, opts := postgres.Open, postgres.Options{}
		if o.Create {
			open = postgres.Create
		}
		if o.Shared {
			opts.Readers = 2
		}
		db, err := open(ctx, o.Database, opts)
		if err != nil {
			return nil, err
		}
		return db, nil
	}
	path := filepath.Join(o.Data, databaseFile)
	opts := sqlite.Options{Shared: o.Shared, ReadOnly: o.ReadOnly}
	open := sqlite.Open
	if o.Create {
		open = sqlite.Create
	}
	if o.Shared {
		opts.Readers = 2
	}
	db, err := open(ctx, path, opts)
	if err != nil {
		return nil, err
	}
	return db, nil
}

// DatabaseAddress returns the address from a flag or from the file that holds
// it, of which one may be named. A password belongs into the file.
func DatabaseAddress(flag, file string) (string, error) {
	return address("database", flag, file)
}

// NATSAddress is DatabaseAddress for --nats and --nats-file.
func NATSAddress(flag, file string) (string, error) { return address("nats", flag, file) }

func address(name, flag, file string) (string, error) {
	if file == "" {
		return flag, nil
	}
	if flag != "" {
		return "", problem.Newf(problem.Invalid, "both --%s and --%s-file are named", name, name).WithFix("name one of them")
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", problem.Newf(problem.NotFound, "there is no file %s", file).WithFix("write the address for --%s into it", name)
	}
	if err != nil {
		return "", fmt.Errorf("reading the address for --%s: %w", name, err)
	}
	return strings.TrimSpace(string(b)), nil
}
