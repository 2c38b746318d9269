package checkpoint

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/kleinbild/kleinbild/inference/checkpoint/safetensors"
	"github.com/kleinbild/kleinbild/inference/tensor"
)

// marker is what ComfyUI and Black Forest Labs' files say of a quantised layer.
type marker struct {
	format string
	// rotation is the number of columns in a group of ConvRot, or 0.
	rotation int
}

// formatInt8 is the format of int8 weights with one scale, or one for each row.
const formatInt8 = "int8_tensorwise"

// defaultRotation is the number of columns in a group of ConvRot if the marker does not say it.
const defaultRotation = 256

// metadataKey is the key of the markers in a file's metadata.
const metadataKey = "_quantization_metadata"

// comfyPrefix is the prefix of a transformer in ComfyUI's files. The layers of metadataKey may lack it.
const comfyPrefix = "model.diffusion_model."

// readMarkers returns the markers of a file by the names of the layers: those in tensors NAME.comfy_quant, and those in
// the metadata. names are the names of all tensors.
func readMarkers(set *safetensors.Set, names []string) (map[string]*marker, error) {
	markers := map[string]*marker{}
	if text := set.Metadata(metadataKey); text != "" {
		layers, err := parseMetadata(text)
		if err != nil {
			return nil, fmt.Errorf("checkpoint: %s: %s: %w", set.Files()[0].Path(), metadataKey, err)
		}
		for name, m := range layers {
			layer := layerIn(set, name)
			if other := markers[layer]; other != nil && *other != *m {
				return nil, fmt.Errorf("checkpoint: %s: %s: two entries for the layer %.100q, want one",
					set.Files()[0].Path(), metadataKey, layer)
			}
			markers[layer] = m
		}
	}
	for _, name := range names {
		layer, ok := strings.CutSuffix(name, comfyQuant)
		if !ok {
			continue
		}
		stat, err := set.Stat(name)
		if err != nil {
			return nil, err
		}
		if stat.DType != tensor.U8 || len(stat.Shape) != 1 || stat.Shape[0] > maxMarkerBytes {
			return nil, fmt.Errorf("%s: %v %v, want at most %d bytes of JSON", stat.Name, stat.DType, stat.Shape, maxMarkerBytes)
		}
		t, err := set.Tensor(name)
		if err != nil {
			return nil, err
		}
		if markers[layer], err = parseMarker(t.Data); err != nil {
			return nil, fmt.Errorf("%s: %w", stat.Name, err)
		}
	}
	return markers, nil
}

// layerIn returns the name of a layer in the file: name, or name with or without ComfyUI's prefix.
func layerIn(set *safetensors.Set, name string) string {
	for _, candidate := range []string{name, comfyPrefix + name, strings.TrimPrefix(name, comfyPrefix)} {
		if has(set, candidate+".weight") {
			return candidate
		}
	}
	return name
}

// parseMetadata parses the text of metadataKey: {"format_version":…, "layers":{"NAME":{"format":…}}}. A layer may also
// be the bare name of a format.
func parseMetadata(text string) (map[string]*marker, error) {
	var file struct {
		Layers map[string]json.RawMessage `json:"layers"`
	}
	if err := json.Unmarshal([]byte(text), &file); err != nil {
		return nil, err
	}
	markers := map[string]*marker{}
	for name, layer := range file.Layers {
		if len(name) > maxLayerName || len(layer) > maxMarkerBytes {
			return nil, fmt.Errorf("layer %.100q: %d bytes, want a name of at most %d bytes and a value of at most %d",
				name, len(layer), maxLayerName, maxMarkerBytes)
		}
		m, err := parseMarker(layer)
		if err != nil {
			return nil, fmt.Errorf("layer %.100q: %w", name, err)
		}
		markers[name] = m
	}
	return markers, nil
}

// parseMarker parses the JSON of a layer: {"format":…}, with the parameters of a rotation beside it or in "params". A
// marker of ComfyUI-INT8-Fast has the rotation and no format. A bare text is the format.
func parseMarker(text []byte) (*marker, error) {
	type rotation struct {
		ConvRot   *bool    `json:"convrot"`
		GroupSize *float64 `json:"convrot_groupsize"`
	}
	var file struct {
		Format string `json:"format"`
		rotation
		Params rotation `json:"params"`
	}
	if err := json.Unmarshal(text, &file.Format); err != nil {
		file.Format = ""
		if err := json.Unmarshal(text, &file); err != nil {
			return nil, fmt.Errorf("want the JSON of a quantisation: %w", err)
		}
	}
	m := &marker{format: file.Format}
	size := file.GroupSize
	if size == nil {
		size = file.Params.GroupSize
	}
	rotated := false
	for _, r := range []rotation{file.Params, file.rotation} {
		if r.ConvRot != nil {
			rotated = *r.ConvRot
		}
	}
	if rotated {
		m.rotation = defaultRotation
		if size != nil {
			m.rotation = int(*size)
			if *size < 4 || *size > maxRotation || float64(m.rotation) != *size || !isPowerOf4(m.rotation) {
				return nil, fmt.Errorf("convrot_groupsize is %v, want a power of 4 up to %d", *size, maxRotation)
			}
		}
		if m.format == "" {
			m.format = formatInt8
		}
	}
	if m.format == "" || len(m.format) > maxFormatName || !tensor.Printable(m.format) {
		return nil, fmt.Errorf("format is %.100q, want the name of a quantisation", m.format)
	}
	return m, nil
}

func isPowerOf4(n int) bool {
	for n > 1 && n%4 == 0 {
		n /= 4
	}
	return n == 1
}
