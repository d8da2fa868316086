// Package partner keeps the directory of partners and their members, and
// turns a session, a password or a token into an access.Actor.
//
// Partners, members and tokens are journaled objects. Secrets are not: a
// password is kept as an Argon2id hash, tokens, sessions and one-time codes as
// SHA-256 of 128 random bits or more, a TOTP seed sealed with the node's data
// key. They live in the store's private data and never in an entry.
//
// A token reads "siaga_" + 32 characters of Crockford base 32 (160 random
// bits) for people and scripts, and "siaga_edge_" + 32 characters + "_" + 64
// hex digits for an edge, where the last part is the SHA-256 of the node's
// public root key and lets the edge pin it. A one-time code is
// 13 characters of Crockford base 32 (65 random bits), for one member and one
// purpose, and ends with its use or its time.
//
// Whoever is disabled, or whose role is taken away, is refused at the next
// request: nothing about rights is kept in a session or token but the member.
package partner
