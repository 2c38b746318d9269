package kernels

import (
	"fmt"
	"math"
)

// The names of the operations of src/elementwise.cu.
const (
	copyOperation            = "copy"
	addScaled                = "add_scaled"
	lerp                     = "lerp"
	siluMul                  = "silu_mul"
	relu                     = "relu"
	prelu                    = "prelu"
	siluOnly                 = "silu_only"
	centredGate              = "centred_gate"
	affine                   = "affine"
	patchify                 = "patchify"
	unpatchify               = "unpatchify"
	transposeRows            = "transpose_rows"
	elementwiseFamily Family = "elementwise"
)

// OpCopy is dst = x.
var OpCopy = define(Operation{
	Name:     copyOperation,
	Families: []Family{elementwiseFamily},
	Fits:     fitsRows,
	Operands: func(s Shape) []Operand { return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}} },
	Launch:   func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.Copy(m[0], m[1]) },
	Trials:   []Shape{{Operation: copyOperation, Rows: 37, Cols: 48}},
})

// OpAddScaled is dst = a + s·b.
var OpAddScaled = define(Operation{
	Name:     addScaled,
	Families: []Family{elementwiseFamily},
	Fits:     fitsRows,
	Operands: threeAlike,
	Launch:   func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.AddScaled(m[0], m[1], m[2], 0.5) },
	Trials:   []Shape{{Operation: addScaled, Rows: 37, Cols: 48}},
})

// OpLerp is dst = a + s·(b − a).
var OpLerp = define(Operation{
	Name:     lerp,
	Families: []Family{elementwiseFamily},
	Fits:     fitsRows,
	Operands: threeAlike,
	Launch:   func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.Lerp(m[0], m[1], m[2], 0.5) },
	Trials:   []Shape{{Operation: lerp, Rows: 37, Cols: 48}},
})

// OpSiLUMul is dst = silu(a) ⊙ b.
var OpSiLUMul = define(Operation{
	Name:     siluMul,
	Families: []Family{elementwiseFamily},
	Fits:     fitsRows,
	Operands: threeAlike,
	Launch:   func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.SiLUMul(m[0], m[1], m[2]) },
	Trials:   []Shape{{Operation: siluMul, Rows: 37, Cols: 48}},
})

// OpReLU is dst = max(x, 0).
var OpReLU = define(Operation{
	Name:     relu,
	Families: []Family{elementwiseFamily},
	Fits:     fitsRows,
	Operands: func(s Shape) []Operand { return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}} },
	Launch:   func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.ReLU(m[0], m[1]) },
	Trials:   []Shape{{Operation: relu, Rows: 37, Cols: 48}},
})

// OpPReLU is dst = x where x ≥ 0, else x ⊙ slope, with the row slope.
var OpPReLU = define(Operation{
	Name:     prelu,
	Families: []Family{elementwiseFamily},
	Fits:     fitsRows,
	Operands: func(s Shape) []Operand {
		return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}, {1, s.Cols, BF16}}
	},
	Launch: func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.PReLU(m[0], m[1], m[2]) },
	Trials: []Shape{{Operation: prelu, Rows: 37, Cols: 48}},
})

// OpSiLUOnly is dst = silu(x).
var OpSiLUOnly = define(Operation{
	Name:     siluOnly,
	Families: []Family{elementwiseFamily},
	Fits:     fitsRows,
	Operands: func(s Shape) []Operand { return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}} },
	Launch:   func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.SiLU(m[0], m[1]) },
	Trials:   []Shape{{Operation: siluOnly, Rows: 37, Cols: 48}},
})

// OpCentredGate is dst = (a + b) ⊙ (sigmoid(b) − 1/2).
var OpCentredGate = define(Operation{
	Name:     centredGate,
	Families: []Family{elementwiseFamily},
	Fits:     fitsRows,
	Operands: threeAlike,
	Launch:   func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.CentredGate(m[0], m[1], m[2]) },
	Trials:   []Shape{{Operation: centredGate, Rows: 37, Cols: 48}},
})

// OpAffine is dst = x ⊙ scale + shift with the rows scale and shift.
var OpAffine = define(Operation{
	Name:     affine,
	Families: []Family{elementwiseFamily},
	Fits:     fitsRows,
	Operands: func(s Shape) []Operand {
		return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}, {1, s.Cols, BF16}, {1, s.Cols, BF16}}
	},
	Launch: func(q *Queue, _ Shape, m []Matrix, _ Variant) error { return q.Affine(m[0], m[1], m[2], m[3], true) },
	Trials: []Shape{{Operation: affine, Rows: 37, Cols: 48}},
})

// OpPatchify makes one row of n×n pixels. Shape.Conv gives the height and width of the pixels.
var OpPatchify = define(Operation{
	Name:     patchify,
	Families: []Family{elementwiseFamily},
	Fits: func(s Shape) bool {
		return s.Cols%4 == 0 && s.Conv.evenSides() && s.Rows*4 == s.Conv.Height*s.Conv.Width
	},
	Operands: func(s Shape) []Operand { return []Operand{{s.Rows, s.Cols, BF16}, {4 * s.Rows, s.Cols / 4, BF16}} },
	Launch: func(q *Queue, s Shape, m []Matrix, _ Variant) error {
		return q.Patchify(m[0], m[1], s.Conv.Height, s.Conv.Width)
	},
	Trials: []Shape{{Operation: patchify, Rows: 6, Cols: 12, Conv: ConvParams{Height: 4, Width: 6}}},
})

// OpUnpatchify is the inverse of OpPatchify. Shape.Conv gives the height and width of the pixels.
var OpUnpatchify = define(Operation{
	Name:     unpatchify,
	Families: []Family{elementwiseFamily},
	Fits:     func(s Shape) bool { return s.Conv.evenSides() && s.Rows == s.Conv.Height*s.Conv.Width },
	Operands: func(s Shape) []Operand { return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows / 4, 4 * s.Cols, BF16}} },
	Launch: func(q *Queue, s Shape, m []Matrix, _ Variant) error {
		return q.Unpatchify(m[0], m[1], s.Conv.Height, s.Conv.Width)
	},
	Trials: []Shape{{Operation: unpatchify, Rows: 24, Cols: 3, Conv: ConvParams{Height: 4, Width: 6}}},
})

// OpTransposeRows transposes the matrix that each row holds. Shape.Heads is the number of its rows.
var OpTransposeRows = define(Operation{
	Name:     transposeRows,
	Families: []Family{elementwiseFamily},
	Fits:     func(s Shape) bool { return s.Heads > 0 && s.Cols%s.Heads == 0 },
	Operands: func(s Shape) []Operand { return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}} },
	Launch: func(q *Queue, s Shape, m []Matrix, _ Variant) error {
		return q.TransposeRows(m[0], m[1], s.Heads)
	},
	Trials: []Shape{{Operation: transposeRows, Rows: 37, Cols: 48, Heads: 6}},
})

func fitsRows(s Shape) bool { return s.Cols%8 == 0 }

// evenSides says whether the pixels can be grouped into 2×2.
func (p ConvParams) evenSides() bool { return p.Height%2 == 0 && p.Width%2 == 0 }

func threeAlike(s Shape) []Operand {
	return []Operand{{s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}, {s.Rows, s.Cols, BF16}}
}

// chunkGrid is the number of blocks of k that cover rows × cols, eight columns a thread.
func chunkGrid(k *kernel, m Matrix) int { return ceilDiv(m.Rows*ceilDiv(m.Cols, 8), k.threads) }

// Copy computes dst = x, converting between formats if they differ.
func (q *Queue) Copy(dst, x Matrix) error {
	if err := sameShape(copyOperation, dst, x); err != nil {
		return err
	}
	p := copyParams{dst: dst, x: x, rows: dst.Rows, cols: dst.Cols}
	k := pick(copyOperation, aligned(dst, x))
	return q.launchCopy(k, p, chunkGrid(k, dst), 1)
}

// ReLU computes dst = max(x, 0); dst may be x.
func (q *Queue) ReLU(dst, x Matrix) error {
	if err := sameShape(relu, dst, x); err != nil {
		return err
	}
	p := reluParams{dst: dst, x: x, rows: dst.Rows, cols: dst.Cols}
	k := pick(relu, aligned(dst, x))
	return q.launchRelu(k, p, chunkGrid(k, dst), 1)
}

// PReLU computes dst = x where x ≥ 0, else x ⊙ slope, with the row slope [1, cols]; dst may be x.
func (q *Queue) PReLU(dst, x, slope Matrix) error {
	if err := sameShape(prelu, dst, x); err != nil {
		return err
	}
	if err := isRow(prelu, "slope", slope, x.Cols); err != nil {
		return err
	}
	p := preluParams{dst: dst, x: x, slope: slope, rows: dst.Rows, cols: dst.Cols}
	k := pick(prelu, aligned(dst, x, slope))
	return q.launchPrelu(k, p, chunkGrid(k, dst), 1)
}

// SiLU computes dst = x·sigmoid(x); dst may be x.
func (q *Queue) SiLU(dst, x Matrix) error {
	if err := sameShape(siluOnly, dst, x); err != nil {
		return err
	}
	p := siluOnlyParams{dst: dst, x: x, rows: dst.Rows, cols: dst.Cols}
	k := pick(siluOnly, aligned(dst, x))
	return q.launchSiLUOnly(k, p, chunkGrid(k, dst), 1)
}

// CentredGate computes dst = (a + b) ⊙ (sigmoid(b) − 1/2); dst may be a or b.
func (q *Queue) CentredGate(dst, a, b Matrix) error {
	if err := sameShape(centredGate, dst, a, b); err != nil {
		return err
	}
	p := centredGateParams{dst: dst, a: a, b: b, rows: dst.Rows, cols: dst.Cols}
	k := pick(centredGate, aligned(dst, a, b))
	return q.launchCentredGate(k, p, chunkGrid(k, dst), 1)
}

// AddScaled computes dst = a + s·b, a step of Euler's method; dst may be a or b.
func (q *Queue) AddScaled(dst, a, b Matrix, s float32) error {
	if err := sameShape(addScaled, dst, a, b); err != nil {
		return err
	}
	p := addScaledParams{dst: dst, a: a, b: b, rows: dst.Rows, cols: dst.Cols, s: s}
	k := pick(addScaled, aligned(dst, a, b))
	return q.launchAddScaled(k, p, chunkGrid(k, dst), 1)
}

// Lerp computes dst = a + s·(b − a); dst may be a or b.
func (q *Queue) Lerp(dst, a, b Matrix, s float32) error {
	if err := sameShape(lerp, dst, a, b); err != nil {
		return err
	}
	p := lerpParams{dst: dst, a: a, b: b, rows: dst.Rows, cols: dst.Cols, s: s}
	k := pick(lerp, aligned(dst, a, b))
	return q.launchLerp(k, p, chunkGrid(k, dst), 1)
}

// SiLUMul computes dst = silu(a) ⊙ b; dst may be a or b.
func (q *Queue) SiLUMul(dst, a, b Matrix) error {
	if err := sameShape(siluMul, dst, a, b); err != nil {
		return err
	}
	p := siluMulParams{dst: dst, a: a, b: b, rows: dst.Rows, cols: dst.Cols}
	k := pick(siluMul, aligned(dst, a, b))
	return q.launchSiLUMul(k, p, chunkGrid(k, dst), 1)
}

// Affine computes dst = x ⊙ scale + shift with the rows scale and shift [1, cols], or SiLU of that if silu is set; dst
// may be x.
func (q *Queue) Affine(dst, x, scale, shift Matrix, silu bool) error {
	if err := sameShape(affine, dst, x); err != nil {
		return err
	}
	if err := isRow(affine, "scale", scale, x.Cols); err != nil {
		return err
	}
	if err := isRow(affine, "shift", shift, x.Cols); err != nil {
		return err
	}
	p := affineParams{dst: dst, x: x, scale: scale, shift: shift, rows: dst.Rows, cols: dst.Cols, withSiLU: asInt(silu)}
	k := pick(affine, aligned(dst, x, scale, shift))
	return q.launchAffine(k, p, chunkGrid(k, dst), 1)
}

// Patchify makes one row of n×n pixels: x [height·width, c] → dst [height/n·width/n, n²·c] in the order
// c·n² + dy·n + dx.
func (q *Queue) Patchify(dst, x Matrix, height, width int) error {
	side, err := checkPatches(patchify, dst, x, dst, x, height, width)
	if err != nil {
		return err
	}
	p := patchifyParams{dst: dst, x: x, rows: dst.Rows, cols: dst.Cols, width: width, side: side}
	k := pick(patchify, true)
	return q.launchPatchify(k, p, ceilDiv(dst.Rows*dst.Cols, k.threads), 1)
}

// Unpatchify is the inverse of Patchify: height and width are dst's.
func (q *Queue) Unpatchify(dst, x Matrix, height, width int) error {
	side, err := checkPatches(unpatchify, dst, x, x, dst, height, width)
	if err != nil {
		return err
	}
	p := unpatchifyParams{dst: dst, x: x, rows: x.Rows, cols: x.Cols, width: width, side: side}
	k := pick(unpatchify, true)
	return q.launchUnpatchify(k, p, ceilDiv(x.Rows*x.Cols, k.threads), 1)
}

// TransposeRows transposes the matrix [height, cols/height] that each row of x holds; dst is not x.
func (q *Queue) TransposeRows(dst, x Matrix, height int) error {
	if err := sameShape(transposeRows, dst, x); err != nil {
		return err
	}
	if height < 1 || x.Cols%height != 0 {
		return fmt.Errorf("%s: %v with %d rows in each row, want a divisor of the columns", transposeRows, x, height)
	}
	p := transposeRowsParams{dst: dst, x: x, rows: x.Rows, cols: x.Cols, height: height}
	k := pick(transposeRows, true)
	return q.launchTransposeRows(k, p, ceilDiv(x.Rows*x.Cols, k.threads), 1)
}

// checkPatches returns the side n of the patches. It returns an error unless patches holds the pixels, of height ×
// width, in groups of n×n.
func checkPatches(operation string, dst, x, patches, pixels Matrix, height, width int) (side int, err error) {
	if err := check(operation, dst, x); err != nil {
		return 0, err
	}
	side = int(math.Sqrt(float64(patches.Cols / max(pixels.Cols, 1))))
	if side < 1 || height%side != 0 || width%side != 0 || pixels.Rows != height*width ||
		patches.Rows*side*side != pixels.Rows || patches.Cols != side*side*pixels.Cols {
		return 0, fmt.Errorf("%s: %v into %v as %d×%d pixels: want patches of n×n pixels, sides that n divides, "+
			"n² times the columns", operation, x, dst, height, width)
	}
	return side, nil
}

// asInt is a condition as kernels take it.
func asInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
