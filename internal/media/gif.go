package media

import (
	"bufio"
	"compress/lzw"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"io"

	"github.com/siaga-crp/siaga/fingerprint"
)

var errGIF = errors.New("media: not a GIF")

// gif decodes a GIF frame by frame (GIF89a specification), so that a file of
// any number of frames needs the memory of three. The standard library decodes
// all frames or one, and nothing of a frame that ends too early, which viewers
// show.
func (d *decoder) gif(set *fingerprint.Set) (image.Image, error) {
	r := bufio.NewReaderSize(d.start(), 32<<10)
	var head [13]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, errGIF
	}
	width, height := int(binary.LittleEndian.Uint16(head[6:])), int(binary.LittleEndian.Uint16(head[8:]))
	var global color.Palette
	if head[10]&0x80 != 0 {
		global = readPalette(r, head[10]&7)
	}

	g := gifDecoder{r: r, global: global}
	var a *animation
	var previous []uint8 // the canvas before the last frame, where it is to return
	for {
		f, err := g.next()
		if err != nil {
			break
		}
		if a == nil {
			if width == 0 || height == 0 {
				width, height = f.rect.Max.X, f.rect.Max.Y
			}
			// The canvas, and how it was before a frame.
			if err := d.check(width, height, 8); err != nil {
				if errors.Is(err, errBudget) && f.rect == image.Rect(0, 0, width, height) && d.check(width, height, 1) == nil {
					return g.only(f, set)
				}
				return nil, err
			}
			a = d.animation(width, height, set)
		}
		if err := d.check(f.rect.Dx(), f.rect.Dy(), 9); err != nil {
			return nil, err
		}
		img, rows := g.pixels(f)
		partial := error(nil)
		if rows < f.rect.Dy() && a.number == 0 {
			partial = repeatRow(img, rows)
		}
		if f.dispose == 3 {
			previous = append(previous[:0], a.canvas.Pix...)
		}
		a.drawPaletted(f.rect, img)
		more := a.show(f.seconds)
		switch f.dispose {
		case 2:
			a.erase(f.rect)
		case 3:
			copy(a.canvas.Pix, previous)
		}
		if rows < f.rect.Dy() {
			_ = a.finish(false)
			return nil, partial
		}
		if !more {
			_, err := g.next()
			return nil, a.finish(err == nil)
		}
	}
	if a == nil {
		return nil, errGIF
	}
	return nil, a.finish(false)
}

// only decodes the first frame alone, where the memory is not enough for more.
func (g *gifDecoder) only(f gifFrame, set *fingerprint.Set) (image.Image, error) {
	img, rows := g.pixels(f)
	if rows < f.rect.Dy() {
		return img, repeatRow(img, rows)
	}
	if _, err := g.next(); err == nil {
		set.Unknown = "this animated picture is too large for more than its first frame to be fingerprinted"
		set.Fix = "review the rest by eye"
	}
	return img, nil
}

// gifFrame is the head of one frame.
type gifFrame struct {
	rect       image.Rectangle
	palette    color.Palette
	interlaced bool
	dispose    uint8
	seconds    float64
	clear      int // index of the transparent colour, or -1
}

// gifDecoder reads the blocks after the header.
type gifDecoder struct {
	r      *bufio.Reader
	global color.Palette
}

// next reads up to the pixels of the next frame.
func (g *gifDecoder) next() (gifFrame, error) {
	f := gifFrame{clear: -1}
	for range maxChunks {
		kind, err := g.r.ReadByte()
		if err != nil {
			return f, err
		}
		switch kind {
		case 0: // padding that decoders skip
		case 0x21:
			label, err := g.r.ReadByte()
			if err != nil {
				return f, err
			}
			if label == 0xf9 {
				var c [6]byte
				if _, err := io.ReadFull(g.r, c[:]); err != nil || c[0] != 4 {
					return f, errGIF
				}
				f.dispose, f.seconds, f.clear = c[1]>>2&7, float64(binary.LittleEndian.Uint16(c[2:]))/100, -1
				if c[1]&1 != 0 {
					f.clear = int(c[4])
				}
				if c[5] == 0 {
					continue
				}
				if _, err := g.r.Discard(int(c[5])); err != nil {
					return f, err
				}
			}
			if _, err := io.Copy(io.Discard, &gifBlocks{r: g.r}); err != nil {
				return f, err
			}
		case 0x2c:
			var c [9]byte
			if _, err := io.ReadFull(g.r, c[:]); err != nil {
				return f, err
			}
			x, y := int(binary.LittleEndian.Uint16(c[0:])), int(binary.LittleEndian.Uint16(c[2:]))
			f.rect = image.Rect(x, y, x+int(binary.LittleEndian.Uint16(c[4:])), y+int(binary.LittleEndian.Uint16(c[6:])))
			f.interlaced, f.palette = c[8]&0x40 != 0, g.global
			if c[8]&0x80 != 0 {
				f.palette = readPalette(g.r, c[8]&7)
			}
			if f.rect.Empty() {
				return f, errGIF
			}
			return f, nil
		default: // the trailer, or not a block
			return f, io.EOF
		}
	}
	return f, errGIF
}

// pixels decodes the pixels of a frame and tells how many rows from the top are
// there; of an interlaced frame all that have a neighbour.
func (g *gifDecoder) pixels(f gifFrame) (*image.Paletted, int) {
	palette := make(color.Palette, 256) // so that no index is outside
	for i := range palette {
		palette[i] = color.RGBA{A: 0xff}
	}
	copy(palette, f.palette)
	if f.clear >= 0 {
		palette[f.clear] = color.RGBA{}
	}
	w, h := f.rect.Dx(), f.rect.Dy()
	img := &image.Paletted{Pix: make([]uint8, w*h), Stride: w, Rect: image.Rect(0, 0, w, h), Palette: palette}
	if f.clear >= 0 {
		for i := range img.Pix {
			img.Pix[i] = uint8(f.clear)
		}
	}
	width, err := g.r.ReadByte()
	if err != nil || width < 2 || width > 8 {
		return img, 0
	}
	blocks := &gifBlocks{r: g.r}
	z := lzw.NewReader(blocks, lzw.LSB, int(width))
	defer z.Close()
	passes := [][2]int{{0, 1}}
	if f.interlaced {
		passes = [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}}
	}
	there := make([]bool, h)
	broken := false
	for _, p := range passes {
		for y := p[0]; y < h && !broken; y += p[1] {
			_, err := io.ReadFull(z, img.Pix[y*w:(y+1)*w])
			broken = err != nil
			there[y] = !broken
		}
	}
	_, _ = io.Copy(io.Discard, blocks) // what follows the last pixel; an end shows at the next block
	rows := h
	for y := 1; broken && y < h; y++ {
		switch {
		case there[y]:
		case f.interlaced && there[0]:
			copy(img.Pix[y*w:(y+1)*w], img.Pix[(y-1)*w:y*w])
		default:
			rows = y
			broken = false
		}
	}
	if !there[0] {
		rows = 0
	}
	return img, rows
}

// gifBlocks reads the content of sub-blocks up to the empty one that ends them.
type gifBlocks struct {
	r    *bufio.Reader
	left int
	done bool
}

func (g *gifBlocks) Read(b []byte) (int, error) {
	if g.done {
		return 0, io.EOF
	}
	if g.left == 0 {
		n, err := g.r.ReadByte()
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		if n == 0 {
			g.done = true
			return 0, io.EOF
		}
		g.left = int(n)
	}
	n, err := g.r.Read(b[:min(len(b), g.left)])
	g.left -= n
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// ReadByte makes gifBlocks an io.ByteReader, so that lzw reads no further than
// the frame's own blocks.
func (g *gifBlocks) ReadByte() (byte, error) {
	if g.left == 0 {
		if _, err := g.Read(nil); err != nil {
			return 0, err
		}
	}
	b, err := g.r.ReadByte()
	if err != nil {
		return 0, io.ErrUnexpectedEOF
	}
	g.left--
	return b, nil
}

// readPalette reads a colour table of 2^(bits+1) colours; what is missing is black.
func readPalette(r io.Reader, bits uint8) color.Palette {
	n := 1 << (bits + 1)
	var b [3 * 256]byte
	_, _ = io.ReadFull(r, b[:3*n]) // an end shows at the next block
	p := make(color.Palette, n)
	for i := range p {
		p[i] = color.RGBA{b[3*i], b[3*i+1], b[3*i+2], 0xff}
	}
	return p
}
