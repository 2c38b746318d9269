package lora

import "math"

// normRows is how many rows of a weight are read at a time.
const normRows = 256

// magnitude adds the magnitudes of a DoRA. The changed weight is W' = (W + Δ)·m/‖W + Δ‖, with norms of rows (PEFT) or
// of columns (LyCORIS by default). With g = m/‖W + Δ‖ for rows it is diag(g)·W + diag(g)·Δ, so that g − 1 scales the
// rows of W, and Δ takes g; for columns likewise.
func (v *values) magnitude(f *File, t fit, w Weights) error {
	key := t.anyKey(roleMagnitude, roleDoRA)
	stat, err := f.file.Stat(key)
	if err != nil {
		return err
	}
	columns, _ := columnwise(stat.Shape, t.size, t.keys[roleMagnitude] != "")
	magnitudes, err := f.floats(key)
	if err != nil {
		return err
	}
	squares, err := v.squares(t, w, columns)
	if err != nil {
		return err
	}
	factors := make([]float32, len(squares))
	for i, s := range squares {
		// The smallest step of float32 keeps a row of zeros from a division by zero, as in LyCORIS.
		factors[i] = float32(float64(magnitudes[i]) / (math.Sqrt(s) + 0x1p-23))
	}
	if columns {
		v.scaleColumns(factors)
		v.colScale = minusOne(factors)
	} else {
		v.scaleRows(factors)
		v.rowScale = minusOne(factors)
	}
	return nil
}

func minusOne(factors []float32) []float32 {
	out := make([]float32, len(factors))
	for i, x := range factors {
		out[i] = float32(float64(x) - 1)
	}
	return out
}

// squares returns the sums of squares of the rows, or of the columns, of W + Δ.
func (v *values) squares(t fit, w Weights, columns bool) ([]float64, error) {
	cols := t.size.cols
	sums := make([]float64, t.size.rows)
	if columns {
		sums = make([]float64, cols)
	}
	for _, r := range t.runs {
		for from := r.from; from < r.to; from += normRows {
			to := min(from+normRows, r.to)
			base, err := w.Rows(r.weight, from, to)
			if err != nil {
				return nil, err
			}
			first := r.first + from - r.from // of the module
			var delta []float32
			if v.dense != nil {
				delta = v.dense[first*cols : (first+to-from)*cols]
			} else {
				delta = w.Product(v.b[first*v.rank:(first+to-from)*v.rank], v.a, to-from, v.rank, cols)
			}
			for i := range to - from {
				sum := 0.0
				for j, x := range base[i*cols : (i+1)*cols] {
					y := float64(x) + float64(delta[i*cols+j])
					if columns {
						sums[j] += y * y
					} else {
						sum += y * y
					}
				}
				if !columns {
					sums[first+i] = sum
				}
			}
		}
	}
	return sums, nil
}

// scaleRows multiplies the rows of Δ.
func (v *values) scaleRows(by []float32) {
	values, width := v.b, v.rank
	if v.dense != nil {
		values, width = v.dense, v.cols
	}
	for i, x := range by {
		for j := range values[i*width : (i+1)*width] {
			values[i*width+j] *= x
		}
	}
}

// scaleColumns multiplies the columns of Δ.
func (v *values) scaleColumns(by []float32) {
	values := v.a
	if v.dense != nil {
		values = v.dense
	}
	for i := range values {
		values[i] *= by[i%v.cols]
	}
}
