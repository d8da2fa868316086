package media

import (
	"encoding/binary"
	"errors"
	"iter"
)

var errISOBMFF = errors.New("media: not an ISO base media file")

// box is one box of an ISO base media file (ISO/IEC 14496-12, 4.2).
type box struct {
	kind    string
	content []byte
}

// boxes yields the boxes of b up to the first that does not fit.
func boxes(b []byte) iter.Seq[box] {
	return func(yield func(box) bool) {
		for len(b) >= 8 {
			n, head := uint64(binary.BigEndian.Uint32(b)), uint64(8)
			switch n {
			case 0:
				n = uint64(len(b))
			case 1:
				if len(b) < 16 {
					return
				}
				n, head = binary.BigEndian.Uint64(b[8:]), 16
			}
			if n < head || n > uint64(len(b)) {
				return
			}
			if !yield(box{string(b[4:8]), b[head:n]}) {
				return
			}
			b = b[n:]
		}
	}
}

// isobmffSize returns the size of the largest image that a HEIC or AVIF file
// declares (ispe, ISO/IEC 23008-12, 6.5.3), before a decoder makes room for it.
func isobmffSize(b []byte) (width, height int, err error) {
	for meta := range boxes(b) {
		if meta.kind != "meta" || len(meta.content) < 4 {
			continue
		}
		for iprp := range boxes(meta.content[4:]) {
			if iprp.kind != "iprp" {
				continue
			}
			for ipco := range boxes(iprp.content) {
				if ipco.kind != "ipco" {
					continue
				}
				for p := range boxes(ipco.content) {
					if p.kind != "ispe" || len(p.content) < 12 {
						continue
					}
					w, h := binary.BigEndian.Uint32(p.content[4:]), binary.BigEndian.Uint32(p.content[8:])
					if uint64(w)*uint64(h) > uint64(width)*uint64(height) {
						width, height = int(min(w, 1<<30)), int(min(h, 1<<30))
					}
				}
			}
		}
	}
	if width == 0 {
		return 0, 0, errISOBMFF
	}
	return width, height, nil
}
