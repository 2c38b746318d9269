package picture

import "slices"

// heifReferences returns the references between items: reference type → referring item → referred items. Its error
// wraps ErrSize if there are too many.
func heifReferences(iref []byte) (map[string]map[uint64][]uint64, error) {
	list := map[string]map[uint64][]uint64{}
	if len(iref) < 4 {
		return list, nil
	}
	left := maxHEIFItems
	version := uint64(iref[0])
	for kind, content := range isoBoxes(iref[4:]) {
		f := fields{data: content}
		from := f.versioned(version)
		for range f.number(2) {
			to := f.versioned(version)
			if f.end {
				break
			}
			if left--; left < 0 {
				return nil, errHEIFLists
			}
			if list[kind] == nil {
				list[kind] = map[uint64][]uint64{}
			}
			list[kind][from] = append(list[kind][from], to)
		}
	}
	return list, nil
}

var errHEIFLists = sizeErrorf("found more than %d items or %d properties of them in the header", maxHEIFItems,
	maxHEIFProperties)

// heifPixels adds up the pixels that are decoded for an item: its own, those of the items from which it is derived, as
// often as it names them, and those of its auxiliary pictures. An item without a declared size counts as largest.
func heifPixels(item uint64, areas map[uint64]int, largest int, references map[string]map[uint64][]uint64) int {
	const most = 1 << 40
	known := map[uint64]int{}
	var add func(item uint64, depth int) int
	add = func(item uint64, depth int) int {
		if pixels, ok := known[item]; ok {
			return pixels
		}
		if depth > maxHEIFDepth {
			return most
		}
		known[item] = most // in case the item is derived from itself
		pixels, told := areas[item]
		if !told {
			pixels = largest
		}
		for _, from := range references["dimg"][item] {
			pixels = min(pixels+add(from, depth+1), most)
		}
		known[item] = pixels
		return pixels
	}
	pixels := add(item, 0)
	for auxiliary, of := range references["auxl"] {
		if slices.Contains(of, item) {
			pixels = min(pixels+add(auxiliary, 0), most)
		}
	}
	return pixels
}
