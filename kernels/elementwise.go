package kernels

import (
	"fmt"

	"kleinbild/kernels/cu"
)

// chunkGrid is the number of blocks that cover rows × cols, eight columns a thread.
func chunkGrid(m Matrix) int { return ceilDiv(m.Rows*ceilDiv(m.Cols, 8), 256) }

// size packs the shape of m.
func (q *Queue) size(m Matrix) *cu.Args { return q.args.Int32(int32(m.Rows)).Int32(int32(m.Cols)) }

// Copy computes dst = x, converting where the formats differ.
func (q *Queue) Copy(dst, x Matrix) error {
	if err := sameShape("copy", dst, x); err != nil {
		return err
	}
	q.args.Reset()
	q.matrix(dst)
	q.matrix(x)
	q.size(dst)
	return q.launch(Elementwise, pick(aligned(dst, x), "copy", "copy_any"), chunkGrid(dst), 1)
}

// AddScaled computes dst = a + s·b, a step of Euler's method; dst may be a or b.
func (q *Queue) AddScaled(dst, a, b Matrix, s float32) error {
	return q.combine("add_scaled", "add_scaled_any", dst, a, b, s)
}

// Lerp computes dst = a + s·(b − a); dst may be a or b.
func (q *Queue) Lerp(dst, a, b Matrix, s float32) error {
	return q.combine("lerp", "lerp_any", dst, a, b, s)
}

func (q *Queue) combine(plain, any string, dst, a, b Matrix, s float32) error {
	if err := sameShape(plain, dst, a, b); err != nil {
		return err
	}
	q.args.Reset()
	q.matrix(dst)
	q.matrix(a)
	q.matrix(b)
	q.size(dst).Float32(s)
	return q.launch(Elementwise, pick(aligned(dst, a, b), plain, any), chunkGrid(dst), 1)
}

// Affine computes dst = x ⊙ scale + shift with the rows scale and shift [1, cols], and SiLU of that where silu; dst may
// be x.
func (q *Queue) Affine(dst, x, scale, shift Matrix, silu bool) error {
	if err := sameShape("affine", dst, x); err != nil {
		return err
	}
	if err := isRow("affine", "scale", scale, x.Cols); err != nil {
		return err
	}
	if err := isRow("affine", "shift", shift, x.Cols); err != nil {
		return err
	}
	q.args.Reset()
	q.matrix(dst)
	q.matrix(x)
	q.matrix(scale)
	q.matrix(shift)
	q.size(dst).Int32(truth(silu))
	return q.launch(Elementwise, pick(aligned(dst, x, scale, shift), "affine", "affine_any"), chunkGrid(dst), 1)
}

// Embedding gathers rows: dst[i] = table[ids[i]]. ids points to dst.Rows int32 in device memory, each of which must name
// a row of table.
func (q *Queue) Embedding(dst, table Matrix, ids cu.DevicePtr) error {
	if err := check("embedding", dst, table); err != nil {
		return err
	}
	if dst.Cols != table.Cols || ids%4 != 0 || ids == 0 && dst.Rows > 0 {
		return fmt.Errorf("embedding: %v into %v by ids at %#x, want rows of one width and an address that is a multiple of 4", table, dst, ids)
	}
	q.args.Reset()
	q.matrix(dst)
	q.matrix(table)
	q.args.Ptr(ids)
	q.size(dst)
	return q.launch(Elementwise, pick(aligned(dst, table), "embedding", "embedding_any"), chunkGrid(dst), 1)
}

// Patchify turns 2×2 pixels into one row: x [height·width, c] → dst [height/2·width/2, 4·c] in the order c·4 + dy·2 + dx.
func (q *Queue) Patchify(dst, x Matrix, height, width int) error {
	return q.patches("patchify", dst, x, dst, x, height, width)
}

// Unpatchify is the inverse: height and width are dst's.
func (q *Queue) Unpatchify(dst, x Matrix, height, width int) error {
	return q.patches("unpatchify", dst, x, x, dst, height, width)
}

func (q *Queue) patches(name string, dst, x, wide, narrow Matrix, height, width int) error {
	if err := check(name, dst, x); err != nil {
		return err
	}
	if height%2 != 0 || width%2 != 0 || narrow.Rows != height*width || wide.Rows*4 != narrow.Rows || wide.Cols != 4*narrow.Cols {
		return fmt.Errorf("%s: %v into %v as %d×%d pixels: want even sides, a quarter of the rows, four times the columns", name, x, dst, height, width)
	}
	q.args.Reset()
	q.matrix(dst)
	q.matrix(x)
	q.size(wide).Int32(int32(width))
	return q.launch(Elementwise, kernel{name: name, threads: 256}, ceilDiv(wide.Rows*wide.Cols, 256), 1)
}

// RGB8 stores the pixels of x [pixels, 3], nominally in [−1, 1], as bytes: dst[i] = round(255·clamp(x/2 + 1/2, 0, 1)).
// dst has 3·pixels bytes.
func (q *Queue) RGB8(dst cu.DevicePtr, x Matrix) error {
	if err := check("rgb8", x); err != nil {
		return err
	}
	if x.Cols != 3 || dst == 0 && x.Rows > 0 {
		return fmt.Errorf("rgb8: %v into %#x, want three columns and device memory", x, dst)
	}
	q.args.Reset().Ptr(dst)
	q.matrix(x)
	q.args.Int32(int32(x.Rows))
	return q.launch(Elementwise, kernel{name: "rgb8", threads: 256}, ceilDiv(3*x.Rows, 256), 1)
}

// Taps reorders the weight of a convolution, x [out, in·taps] as checkpoints store it, for Conv: dst [out, taps·in],
// without gaps between rows.
func (q *Queue) Taps(dst, x Matrix, taps int) error {
	if err := sameShape("taps", dst, x); err != nil {
		return err
	}
	if err := isBF16("taps", dst); err != nil {
		return err
	}
	if taps < 1 || x.Cols%taps != 0 || dst.Stride != dst.Cols {
		return fmt.Errorf("taps: %v into %v with rows %d values apart: want a multiple of %d columns, and no gaps", x, dst, dst.Stride, taps)
	}
	q.args.Reset().Ptr(dst.Data)
	q.matrix(x)
	q.args.Int32(int32(x.Rows)).Int32(int32(x.Cols / taps)).Int32(int32(taps))
	return q.launch(Elementwise, kernel{name: "taps", threads: 256}, ceilDiv(x.Rows*x.Cols, 256), 1)
}

func truth(b bool) int32 {
	if b {
		return 1
	}
	return 0
}
