// Package index finds fingerprints again: 256-bit hashes within a Hamming
// distance (Index) and keys that are equal (Exact).
//
// # What it promises
//
// Searches are exact: Search returns every entry within the distance and
// nothing else, whatever the data looks like; Scan, a plain linear scan, is
// kept beside it as the oracle. An entry is a pair of an id and a hash with
// its own greatest distance, and matches when the distance is at most both
// the query's and its own. One id may have several hashes (the eight
// orientations of a picture, the frames of a video), and one hash several ids.
//
// All methods may be called concurrently. What Insert has returned from is
// found by every search that starts later, what Delete has returned from is
// not. There is no rebuild: work and pauses of a write are bounded. Search
// allocates nothing when dst has room.
//
// Keys are opaque: what a hash means, and who may see it, is the caller's
// business. The package does no I/O but the snapshots that it is asked for,
// starts no goroutine that outlives a call and reads no clock.
package index
