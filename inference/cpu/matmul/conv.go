package matmul

import (
	"fmt"
	"sync/atomic"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// Picture is the geometry of a convolution. The rows of the input matrix are the pixels in raster order.
type Picture struct {
	Height, Width int
	// Upsample doubles height and width of the input by nearest neighbour before the convolution. It makes no copy.
	Upsample bool
	// Downsample uses stride 2, and pads with one row at the bottom and one column on the right only. Otherwise the
	// stride is 1, and the padding on all sides is half the kernel's size.
	Downsample bool
}

// Conv2DSize returns height and width of the result for a kernel of kh×kw.
func Conv2DSize(p Picture, kh, kw int) (height, width int) {
	height, width = p.Height, p.Width
	if p.Upsample {
		height, width = 2*height, 2*width
	}
	if p.Downsample {
		return (height+1-kh)/2 + 1, (width+1-kw)/2 + 1
	}
	return height + kh/2*2 - kh + 1, width + kw/2*2 - kw + 1
}

// Conv2D convolves src [Height·Width, I] with w [O, I, kh, kw], which has the checkpoint's layout, and stores the
// result in dst [height·width, O], with the size of Conv2DSize, as ep describes. dst must not overlap src.
//
// The convolution is a matrix product over (kh, kw, I). Panels of its left side are gathered from the picture. The
// kernel is reordered and packed once in each call, which takes 4·O·I·kh·kw bytes.
func Conv2D(stop *atomic.Bool, dst, src Matrix, pic Picture, w tensor.Tensor, precision Precision, ep Epilogue) {
	if len(w.Shape) != 4 || w.Shape[1] != src.Cols || src.Rows != pic.Height*pic.Width || !w.DType.Float() ||
		w.DType.BlockValues() > 1 || w.Quant != nil || len(w.Data) < w.DType.Bytes(tensor.Elements(w.Shape)) {
		panic(fmt.Sprintf("matmul: conv2d: %s: %v %v of %d bytes, want a float kernel for %d×%d pixels in [%d, %d]",
			w.Name, w.DType, w.Shape, len(w.Data), pic.Height, pic.Width, src.Rows, src.Cols))
	}
	n, kh, kw := w.Shape[0], w.Shape[2], w.Shape[3]
	if kh == 1 && kw == 1 && !pic.Downsample && !pic.Upsample {
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
	a := &gather{
		dense: src.operand(), Picture: pic, kw: kw, outWidth: width, rows: m, stride: 1, padY: kh / 2, padX: kw / 2,
		channels: src.Cols,
	}
	if pic.Downsample {
		a.stride, a.padY, a.padX = 2, 0, 0
	}
	p := newProduct(stop, m, n, kh*kw*src.Cols, precision)
	p.dst, p.ep = dst, ep
	p.packedB(a, weightOperand(w, p.k), src.Cols, kh*kw)
}

// packedB computes the product of a convolution. It packs the whole kernel w first, with the order (taps, channels)
// instead of (channels, taps); then goroutines multiply blocks of pixels of a by it.
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
		reordered, row := grow(&ws.a, rows*p.k), grow(&ws.row, p.k)
		for r := range rows {
			w.widen(row, j*nr+r, 0)
			to := reordered[r*p.k : (r+1)*p.k]
			for t := range taps {
				for c := range channels {
					to[t*channels+c] = row[c*taps+t]
				}
			}
		}
		src := Matrix{Rows: rows, Cols: p.k, Stride: p.k, F32: reordered}.operand()
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
				kn.MulPanels(steps, aPanels, block, size*mr, b, acc[j*aPanels*mr*nr:], nr, k0 > 0, b[steps*nr:])
			}
		}
		p.finish(ws, acc, aPanels*mr*nr, row, rows, 0, p.n)
	})
}

// gather is the left operand of a convolution. Its rows are the pixels of the result, and its columns are
// k = (ky·kw + kx)·channels + channel.
type gather struct {
	*dense
	Picture
	kw, outWidth, rows, stride, padY, padX, channels int
}

// place returns where the first tap of the result's pixel row lies in the picture.
func (g *gather) place(row int) (y, x int) {
	return row/g.outWidth*g.stride - g.padY, row%g.outWidth*g.stride - g.padX
}

// pixel returns the row of the source for a place in the picture, or -1 if that is outside.
func (g *gather) pixel(y, x int) int {
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

// pack implements operand.
func (g *gather) pack(p *packer, side side, dst []float32, row, k0, n int) {
	width := p.width(side)
	if g.channels%p.group() != 0 {
		p.packCopy(side, dst, min(width, g.rows-row), n, func(r int, dst []float32) {
			y, x := g.place(row + r)
			for k := k0; len(dst) > 0; {
				tap, c := k/g.channels, k%g.channels
				part := dst[:min(len(dst), g.channels-c)]
				g.widenPixel(part, g.pixel(y+tap/g.kw, x+tap%g.kw), c)
				k, dst = k+len(part), dst[len(part):]
			}
		})
		return
	}
	direct := g.dtype == tensor.BF16 || !p.round
	var ys, xs, pixels [32]int
	for r := range min(width, g.rows-row) {
		ys[r], xs[r] = g.place(row + r)
	}
	for k := k0; k < k0+n; {
		tap, c := k/g.channels, k%g.channels
		part := min(k0+n-k, g.channels-c)
		dy, dx := tap/g.kw, tap%g.kw
		inside := row+width <= g.rows
		for r := range width {
			pixels[r] = -1
			if row+r < g.rows {
				pixels[r] = g.pixel(ys[r]+dy, xs[r]+dx)
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

// widenPixel stores len(dst) channels of a source pixel, beginning with c, or zeros if pixel is -1.
func (g *gather) widenPixel(dst []float32, pixel, c int) {
	if pixel < 0 {
		clear(dst)
		return
	}
	g.widen(dst, pixel, c)
}
