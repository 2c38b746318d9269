package matmul

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"kleinbild/inference/cpu/simd"
	"kleinbild/inference/tensor"
)

// Picture is the geometry of a convolution's input: rows of the matrix are its pixels, line by line.
type Picture struct {
	Height, Width int
	// Upsample doubles both sides by repeating pixels, before the convolution and without a copy.
	Upsample bool
	// Down takes every second pixel, after a pad of one on the right and at the bottom only; otherwise the stride is 1 and the pad
	// half the kernel on all sides.
	Down bool
}

// Conv2DSize returns the sides of the result of a kernel of kh×kw.
func Conv2DSize(p Picture, kh, kw int) (height, width int) {
	height, width = p.Height, p.Width
	if p.Upsample {
		height, width = 2*height, 2*width
	}
	if p.Down {
		return (height+1-kh)/2 + 1, (width+1-kw)/2 + 1
	}
	return height + kh/2*2 - kh + 1, width + kw/2*2 - kw + 1
}

// Conv2D convolves src [Height·Width, I] with w [O, I, kh, kw], as it lies in the checkpoint, and passes the result through ep
// into dst [height·width, O] of Conv2DSize. It is a product over (kh, kw, I) whose left side is gathered from the
// picture panel by panel; the kernel is turned and packed once a call (4·O·I·kh·kw bytes). dst must not overlap src.
func Conv2D(stop *atomic.Bool, dst, src Matrix, pic Picture, w tensor.Tensor, precision Precision, ep Epilogue) {
	if len(w.Shape) != 4 || w.Shape[1] != src.Cols || src.Rows != pic.Height*pic.Width || !w.DType.Float() ||
		len(w.Data) < tensor.Elements(w.Shape)*w.DType.SizeBytes() {
		panic(fmt.Sprintf("matmul: conv2d: %s: %v %v of %d bytes on %d×%d pixels in [%d, %d]", w.Name, w.DType, w.Shape, len(w.Data),
			pic.Height, pic.Width, src.Rows, src.Cols))
	}
	n, kh, kw := w.Shape[0], w.Shape[2], w.Shape[3]
	if kh == 1 && kw == 1 && !pic.Down && !pic.Upsample {
		Linear(stop, dst, src, w, precision, ep)
		return
	}
	height, width := Conv2DSize(pic, kh, kw)
	m := max(height, 0) * max(width, 0)
	if ep.Store == nil && (dst.Rows != m || dst.Cols != n) {
		panic(fmt.Sprintf("matmul: conv2d: %s: destination [%d, %d], want [%d, %d]", w.Name, dst.Rows, dst.Cols, m, n))
	}
	src.check("conv2d: input")
	if ep.Store == nil {
		dst.check("conv2d: destination")
	}
	ep.check(w.Name, n)
	if m == 0 || n == 0 {
		return
	}
	a := &gather{dense: src.operand(), Picture: pic, kw: kw, outWidth: width, rows: m, stride: 1, padY: kh / 2, padX: kw / 2, channels: src.Cols}
	if pic.Down {
		a.stride, a.padY, a.padX = 2, 0, 0
	}
	p := newProduct(stop, m, n, kh*kw*src.Cols, precision)
	p.dst, p.ep = dst, ep
	weights := &dense{dtype: w.DType, base: unsafe.Pointer(unsafe.SliceData(w.Data)), rows: n, stride: p.k * w.DType.SizeBytes(), scale: w.Scale}
	p.packedB(a, weights, src.Cols, kh*kw)
}

// packedB turns and packs the kernel first, then multiplies blocks of pixels, each by its own goroutine, by all of it.
func (p *product) packedB(a operand, w *dense, channels, taps int) {
	kn, mr, nr := &p.kernel, p.kernel.MR, p.kernel.NR
	panels := ceilDiv(p.n, nr)
	ld := panels * nr
	buf := shared.Get().(*[]float32)
	defer shared.Put(buf)
	packed := grow(buf, ld*panelWords(kn, p.k))
	forEach(p.stop, panels, func(j int, ws *workspace) {
		p.use(ws)
		rows := min(nr, p.n-j*nr)
		turned, row := grow(&ws.a, rows*p.k), grow(&ws.row, p.k)
		for r := range rows {
			w.widen(row, j*nr+r, 0)
			to := turned[r*p.k : (r+1)*p.k]
			for t := range taps {
				for c := range channels {
					to[t*channels+c] = row[c*taps+t]
				}
			}
		}
		src := Matrix{Rows: rows, Cols: p.k, Stride: p.k, F32: turned}.operand()
		for k0 := 0; k0 < p.k; k0 += depth(kn) {
			n := min(depth(kn), p.k-k0)
			size := panelWords(kn, n) * nr
			src.pack(&ws.packer, right, packed[words(kn, k0)*ld+j*size:], 0, k0, n)
		}
	})
	pixels := blocksOf(kn).pixels
	forEach(p.stop, ceilDiv(p.m, pixels), func(i int, ws *workspace) {
		p.use(ws)
		row := i * pixels
		rows := min(pixels, p.m-row)
		aPanels := ceilDiv(rows, mr)
		acc := grow(&ws.acc, aPanels*mr*ld)
		block := grow(&ws.a, aPanels*mr*panelWords(kn, depth(kn)))
		for k0 := 0; k0 < p.k; k0 += depth(kn) {
			if stopped(p.stop) {
				return
			}
			n := min(depth(kn), p.k-k0)
			size, steps := panelWords(kn, n), words(kn, n)
			for i := range aPanels {
				a.pack(&ws.packer, left, block[i*size*mr:(i+1)*size*mr], row+i*mr, k0, n)
			}
			for j := range panels {
				b := packed[words(kn, k0)*ld+j*size*nr:]
				next := simd.Ahead{Packed: b[steps*nr:]}
				kn.MulPanels(steps, aPanels, block, size*mr, b, acc[j*aPanels*mr*nr:], nr, k0 > 0, next)
			}
		}
		p.finish(ws, acc, aPanels*mr*nr, row, rows, 0, p.n)
	})
}

// gather is the left side of a convolution: row = pixel of the result, k = (ky·kw + kx)·channels + channel.
type gather struct {
	*dense
	Picture
	kw, outWidth, rows, stride, padY, padX, channels int
}

// pixel returns the row of the source under tap (ky, kx) of result pixel row, or -1 outside.
func (g *gather) pixel(row, tap int) int {
	y := row/g.outWidth*g.stride + tap/g.kw - g.padY
	x := row%g.outWidth*g.stride + tap%g.kw - g.padX
	if g.Upsample {
		if y < 0 || x < 0 || y >= 2*g.Height || x >= 2*g.Width {
			return -1
		}
		return y/2*g.Width + x/2
	}
	if y < 0 || x < 0 || y >= g.Height || x >= g.Width {
		return -1
	}
	return y*g.Width + x
}

func (g *gather) pack(p *packer, side side, dst []float32, row, k0, n int) {
	width := p.width(side)
	if g.channels%p.group() != 0 {
		p.packCopy(side, dst, min(width, g.rows-row), n, func(r int, dst []float32) {
			for k := k0; len(dst) > 0; {
				c := k % g.channels
				part := dst[:min(len(dst), g.channels-c)]
				g.widenPixel(part, g.pixel(row+r, k/g.channels), c)
				k, dst = k+len(part), dst[len(part):]
			}
		})
		return
	}
	direct := g.dtype == tensor.BF16 || !p.round
	var pixels [32]int
	for k := k0; k < k0+n; {
		tap, c := k/g.channels, k%g.channels
		part := min(k0+n-k, g.channels-c)
		inside := row+width <= g.rows
		for r := range width {
			pixels[r] = -1
			if row+r < g.rows {
				pixels[r] = g.pixel(row+r, tap)
			}
			inside = inside && pixels[r] >= 0
			p.offs[r] = pixels[r] * g.dense.stride
		}
		to, src := dst[words(&p.kernel, k-k0)*width:], g.at(0, c)
		switch {
		case !inside || !direct:
			p.packCopy(side, to, width, part, func(r int, dst []float32) { g.widenPixel(dst, pixels[r], c) })
		case g.dtype == tensor.F32:
			p.kernel.Pack(to, width, src, p.offs[:], part)
		case p.kernel.Pairs:
			p.rows(side, to, src, 0, part)
		default:
			p.kernel.PackBF16(to, width, src, p.offs[:], part/2)
		}
		k += part
	}
}

// widenPixel stores channels from c on of a source pixel, zeros for -1.
func (g *gather) widenPixel(dst []float32, pixel, c int) {
	if pixel < 0 {
		clear(dst)
		return
	}
	g.widen(dst, pixel, c)
}
