package app

import (
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/config"
)

// Check returns every setting that cannot be right, before anything is opened.
// Whoever adds a setting checks it here.
func (o *Options) Check() []config.Mistake {
	var wrong []config.Mistake
	add := func(key, fix, format string, args ...any) {
		wrong = append(wrong, config.Mistakef(key, fix, format, args...))
	}
	if o.Listen != "" {
		if _, port, err := net.SplitHostPort(o.Listen); err != nil || !isPort(port) {
			add("listen", "write a host and a port, such as 127.0.0.1:7424", "%q is not an address to listen on", o.Listen)
		}
	}
	if u := strings.TrimSuffix(o.PublicURL, "/"); u != "" {
		p, err := url.Parse(u)
		if err != nil || p.Host == "" || (p.Scheme != "http" && p.Scheme != "https") || p.Path != "" || p.RawQuery != "" || p.Fragment != "" || p.User != nil {
			add("public_url", "write it as https://siaga.example, without a path", "the public URL %q is not an address of a node", o.PublicURL)
		}
	}
	if o.Database != "" && o.DatabaseFile != "" {
		add("database_file", "name one of them", "both database and database_file are set")
	}
	if o.NATS != "" && o.NATSFile != "" {
		add("nats_file", "name one of them", "both nats and nats_file are set")
	}
	if u, err := url.Parse(o.Traces); o.Traces != "" && (err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil) {
		add("traces", "write it as http://localhost:4318", "%q is not the address of a collector", o.Traces)
	}
	if _, err := networks(o.Proxies); err != nil {
		add("trusted_proxies", "write networks such as 10.0.0.0/8, separated by commas", "%q are not networks", o.Proxies)
	}
	o.Mail.check(add)
	checkHosts(o.InternalHosts, add)
	if o.BackupDir != "" {
		if _, err := Recipients([]string{o.BackupTo}); err != nil {
			add("backup_to", "make a pair with age-keygen and set its public half, age1…, or a file that holds it", "scheduled backups need an age public key")
		}
		if o.BackupEvery < time.Minute {
			add("backup_every", "write an interval such as 6h", "scheduled backups need an interval of a minute or more")
		}
		if st, err := os.Stat(o.BackupDir); err != nil || !st.IsDir() {
			add("backup_dir", "make the folder, on another disk than the data", "%q is not a folder", o.BackupDir)
		}
	}
	if o.BackupKeep < 0 {
		add("backup_keep", "write a number from 1", "%d is not a number of backups", o.BackupKeep)
	}
	if o.Level != "" {
		var l slog.Level
		if err := l.UnmarshalText([]byte(o.Level)); err != nil {
			add("log", "use debug, info, warn or error", "%q is not a level of the log", o.Level)
		}
	}
	o.checkIdentity(add)
	return wrong
}

// networks reads a list of networks or addresses, separated by commas.
func networks(list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		p, err := netip.ParsePrefix(part)
		if err != nil {
			a, aerr := netip.ParseAddr(part)
			if aerr != nil {
				return nil, err
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n <= 65535
}
