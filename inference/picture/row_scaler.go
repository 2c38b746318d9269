package picture

// RowScaler scales a picture that comes row by row, as Pillow's Lanczos does, in float32 and with memory for the few
// rows that a row of the result depends on. Values are not clamped.
type RowScaler struct {
	from, to Size
	channels int
	across   []floatTaps
	down     []floatTaps
	emit     func(row []float32) error
	// narrow holds the rows that have the new width and are still needed, row y at y modulo its length.
	narrow [][]float32
	in     int // rows that have come
	out    int // rows that were emitted
	row    []float32
}

// floatTaps are taps in float32.
type floatTaps struct {
	first   int
	weights []float32
}

func newFloatTaps(from, to int) []floatTaps {
	var list []floatTaps
	for _, t := range lanczosTaps(from, to) {
		f := floatTaps{first: t.first}
		for _, w := range t.weights {
			f.weights = append(f.weights, float32(w)/(1<<weightBits))
		}
		list = append(list, f)
	}
	return list
}

// NewRowScaler returns a scaler for pictures with a number of values for each pixel. emit takes the rows of the result
// from top to bottom, and must not keep them.
func NewRowScaler(from, to Size, channels int, emit func(row []float32) error) *RowScaler {
	s := &RowScaler{
		from: from, to: to, channels: channels, across: newFloatTaps(from.Width, to.Width),
		down: newFloatTaps(from.Height, to.Height), emit: emit, row: make([]float32, channels*to.Width),
	}
	most := 0
	for _, t := range s.down {
		most = max(most, len(t.weights))
	}
	// Taps of rows that follow each other begin in order, so that as many rows as the longest has are enough.
	s.narrow = make([][]float32, most)
	for i := range s.narrow {
		s.narrow[i] = make([]float32, channels*to.Width)
	}
	return s
}

// Put takes the next row of the picture, of which it keeps nothing. It returns the error of emit.
func (s *RowScaler) Put(row []float32) error {
	narrow := s.narrow[s.in%len(s.narrow)]
	n := s.channels
	for x, t := range s.across {
		for c := range n {
			sum := float32(0)
			at := t.first*n + c
			for _, w := range t.weights {
				sum += w * row[at]
				at += n
			}
			narrow[x*n+c] = sum
		}
	}
	s.in++
	for ; s.out < len(s.down); s.out++ {
		t := s.down[s.out]
		if t.first+len(t.weights) > s.in {
			return nil
		}
		clear(s.row)
		for i, w := range t.weights {
			for j, v := range s.narrow[(t.first+i)%len(s.narrow)] {
				s.row[j] += w * v
			}
		}
		if err := s.emit(s.row); err != nil {
			return err
		}
	}
	return nil
}
