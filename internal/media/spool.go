package media

import (
	"bytes"
	"context"
	"io"
	"os"
)

// smallInput is the most bytes of a reader that wait in memory.
const smallInput = 4 << 20

// file returns src as a file that is open for reading only, and what to call
// when it is done with.
func (p *Pool) file(ctx context.Context, src io.Reader, w Want) (*os.File, func(), error) {
	if f, ok := src.(*os.File); ok {
		info, err := f.Stat()
		if err != nil {
			return nil, nil, openProblem(w.Name, err)
		}
		if info.Mode().IsRegular() {
			if f, done, err := readOnly(f); err == nil {
				return f, done, nil
			}
		} else if info.Mode().IsDir() {
			return nil, nil, regular(w.Name, info)
		}
	}
	limit := p.opt.MaxBytes
	src = &contextReader{ctx, src}
	var head bytes.Buffer
	n, err := io.Copy(&head, io.LimitReader(src, min(limit, smallInput)+1))
	var f *os.File
	var done func()
	switch {
	case err != nil:
	case n > limit:
		return nil, nil, tooLarge(w.Name, -1, limit)
	case n <= smallInput:
		f, done, err = memoryFile(head.Bytes())
	default:
		f, done, err = namelessFile(io.MultiReader(&head, io.LimitReader(src, limit+1-n)))
	}
	switch {
	case ctx.Err() != nil:
		if done != nil {
			done()
		}
		return nil, nil, contextProblem(ctx, w.Name)
	case err != nil:
		return nil, nil, problem(ErrRead, "send it again; if it stays, see whether the temporary folder has room", "%q could not be taken in: %v", w.Name, cause(err))
	}
	if info, err := f.Stat(); err != nil || info.Size() > limit {
		done()
		return nil, nil, tooLarge(w.Name, -1, limit)
	}
	return f, done, nil
}

// contextReader stops when its context does.
type contextReader struct {
	ctx context.Context //nolint:containedctx // lives for one call only
	r   io.Reader
}

func (c *contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}

// temporary makes a file in the temporary folder, removed by done at the latest.
func temporary(r io.Reader) (*os.File, func(), error) {
	f, err := os.CreateTemp("", "siaga-input-*")
	if err != nil {
		return nil, nil, err
	}
	_ = os.Remove(f.Name()) // fails on Windows, where done does it
	done := func() {
		_ = f.Close()           // a copy that nobody reads again
		_ = os.Remove(f.Name()) // usually gone
	}
	if _, err := io.Copy(f, r); err != nil {
		done()
		return nil, nil, err
	}
	return f, done, nil
}
