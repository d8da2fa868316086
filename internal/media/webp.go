package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"io"
	"iter"

	"golang.org/x/image/webp"

	"github.com/siaga-crp/siaga/fingerprint"
)

var errWebP = errors.New("media: not a WebP")

// riffChunks yields the chunks of a RIFF file between two places. One that goes
// past the end is yielded shortened and marked.
func riffChunks(r io.ReaderAt, at, end int64) iter.Seq[chunk] {
	return func(yield func(chunk) bool) {
		for range maxChunks {
			var h [8]byte
			if at+8 > end || !readFull(r, h[:], at) {
				return
			}
			c := chunk{kind: string(h[:4]), at: at + 8, size: int64(binary.LittleEndian.Uint32(h[4:]))}
			at = c.at + c.size + c.size&1
			if c.at+c.size > end {
				c.size, c.cut = end-c.at, true
			}
			if !yield(c) || c.cut {
				return
			}
		}
	}
}

// uint24 reads 24 bits, least significant byte first.
func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

// webp decodes a WebP (RFC 9649). The library reads still pictures only; the
// frames of an animation are still pictures without their head.
func (d *decoder) webp(set *fingerprint.Set) (image.Image, error) {
	var a *animation
	var dispose image.Rectangle
	for c := range riffChunks(d.src, 12, d.Size) {
		switch c.kind {
		case "VP8X":
			var h [10]byte
			if c.size < 10 || !readFull(d.src, h[:], c.at) {
				return nil, errWebP
			}
			if h[0]&2 == 0 {
				continue // no animation
			}
			w, ht := uint24(h[4:])+1, uint24(h[7:])+1
			// Canvas, and a frame as it is decoded.
			if err := d.check(w, ht, 13); err != nil {
				return nil, err
			}
			a = d.animation(w, ht, set)
		case "ANMF":
			if a == nil {
				continue
			}
			f, err := d.webpFrame(c)
			if err != nil {
				if a.number == 0 {
					return nil, err
				}
				_ = a.finish(false)
				return nil, errPartial
			}
			if !dispose.Empty() {
				a.erase(dispose)
				dispose = image.Rectangle{}
			}
			a.draw(f.rect, f.img, f.over)
			if !a.show(f.seconds) {
				return nil, a.finish(true)
			}
			if f.dispose {
				dispose = f.rect
			}
		}
	}
	if a != nil {
		return nil, a.finish(false)
	}
	return d.simple(webp.DecodeConfig, webp.Decode)
}

type webpFrame struct {
	rect    image.Rectangle
	img     image.Image
	seconds float64
	over    bool
	dispose bool
}

// webpFrame decodes one frame of an animation.
func (d *decoder) webpFrame(c chunk) (f webpFrame, err error) {
	var h [16]byte
	if c.size < 16 || c.cut || !readFull(d.src, h[:], c.at) {
		return f, errWebP
	}
	x, y, w, ht := 2*uint24(h[0:]), 2*uint24(h[3:]), uint24(h[6:])+1, uint24(h[9:])+1
	f.rect = image.Rect(x, y, x+w, y+ht)
	f.seconds, f.dispose, f.over = float64(uint24(h[12:]))/1000, h[15]&1 != 0, h[15]&2 == 0
	if err := d.check(w, ht, 13); err != nil {
		return f, err
	}
	var parts []chunk
	alpha := byte(0)
	for p := range riffChunks(d.src, c.at+16, c.at+c.size) {
		switch {
		case p.cut:
			return f, errWebP
		case p.kind == "ALPH":
			alpha = 0x10
			parts = append(parts, p)
		case p.kind == "VP8 ", p.kind == "VP8L":
			parts = append(parts, p)
		}
		if len(parts) > 2 {
			return f, errWebP
		}
	}
	var still bytes.Buffer
	still.WriteString("RIFF\x00\x00\x00\x00WEBP")
	if alpha != 0 {
		still.WriteString("VP8X\x0a\x00\x00\x00")
		still.Write([]byte{alpha, 0, 0, 0, byte(w - 1), byte((w - 1) >> 8), byte((w - 1) >> 16), byte(ht - 1), byte((ht - 1) >> 8), byte((ht - 1) >> 16)})
	}
	for _, p := range parts {
		still.WriteString(p.kind)
		still.Write(binary.LittleEndian.AppendUint32(nil, uint32(p.size)))
		if _, err := io.Copy(&still, io.NewSectionReader(d.src, p.at, p.size)); err != nil {
			return f, err
		}
		if p.size&1 != 0 {
			still.WriteByte(0)
		}
	}
	b := still.Bytes()
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	config, err := webp.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return f, err
	}
	if config.Width != w || config.Height != ht {
		return f, errWebP
	}
	f.img, err = webp.Decode(bytes.NewReader(b))
	return f, err
}
