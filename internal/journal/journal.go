// Package journal keeps the one append-only record that everything else is
// derived from.
//
// # Promises
//
//   - An entry is appended in the same transaction as its effects: what is
//     folded from it, private data, feed operations. After Update has returned
//     nil it survives a crash of the process and of the machine.
//   - Entries are numbered from 0 without gaps, in one order.
//   - An entry is never changed. Its payload can be erased; its place, head
//     and commitment stay.
//   - Each entry is a leaf of an RFC 6962 Merkle tree. A signed checkpoint
//     (C2SP tlog-checkpoint) names the root; the log never signs one that is
//     inconsistent with one that it signed before, and stores it durably
//     before releasing it.
//   - Objects are folds of the entries about them: Rebuild derives all of them
//     again, and Verify compares.
//
// It does not decide who may append or read what: services do.
//
// # Format
//
// An entry has two parts, both canonical JSON (keys in this order, no spaces,
// empty ones left out, strings as encoding/json writes them without HTML
// escapes):
//
//	head     {"number":7,"type":"signal.approved","at_ms":1763925592123,"partner":"p1",
//	          "about":[{"kind":"signal","id":"s1"}],"audience":{"tlp":"amber","origin":"p1"},"exercise":true}
//	payload  {"member":"m1","token":"t1","under":"…","why":"…","body":{…}}
//
// The head stays when the payload is erased. The record of the tree is a
// commitment to both, which tells nothing about either to one who does not
// have them, and lets the head be shown without the payload:
//
//	seal       = SHA-256("siaga.journal.seal.v1\n" ‖ salt ‖ payload)    salt: 16 random bytes
//	commitment = SHA-256("siaga.journal.entry.v1\n" ‖ seal ‖ head)
//	leaf       = SHA-256(0x00 ‖ commitment)                                  RFC 6962 §2.1
//
// Erasing deletes salt and payload and keeps the seal, so head, commitment and
// tree can still be verified. docs/format/journal.md has test vectors.
package journal
