package synthetic

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// hollowElements is the size up to which a hollow component has a weight's values.
const hollowElements = 4096

// Hollow is one component of a checkpoint that is not written anywhere. Large weights have a name and a shape but no
// values: it serves to build a network whose memory and operations are counted without computing anything.
type Hollow struct {
	// ConfigJSON is the text of the component's config.json.
	ConfigJSON []byte
	weights    map[string]weight
}

// HollowTransformer, HollowVAE and HollowTextEncoder return the components of s.
func (s Spec) HollowTransformer() (Hollow, error) {
	return hollow(s.Transformer, s.transformerWeights())
}

// HollowVAE is described at HollowTransformer.
func (s Spec) HollowVAE() (Hollow, error) { return hollow(s.VAE, s.vaeWeights()) }

// HollowTextEncoder is described at HollowTransformer.
func (s Spec) HollowTextEncoder() (Hollow, error) {
	return hollow(s.TextEncoder, s.textEncoderWeights())
}

func hollow(config any, weights []weight) (h Hollow, err error) {
	if h.ConfigJSON, err = json.Marshal(config); err != nil {
		return h, fmt.Errorf("synthetic: config: %w", err)
	}
	h.weights = map[string]weight{}
	for _, w := range weights {
		h.weights[w.name] = w
	}
	return h, nil
}

// Tensor returns the weight called name. Only a small one has values.
func (h Hollow) Tensor(name string) (tensor.Tensor, error) {
	w, ok := h.weights[name]
	if !ok {
		return tensor.Tensor{}, fmt.Errorf("synthetic: %s: %w", name, tensor.ErrMissing)
	}
	t := tensor.Tensor{Name: name, DType: w.dtype, Shape: w.shape, Scale: 1}
	if n := tensor.Elements(w.shape); n <= hollowElements {
		t.Data = make([]byte, n*w.dtype.SizeBytes())
		w.fill(t.Data, 0)
	}
	return t, nil
}

// Names lists the names of all weights, sorted.
func (h Hollow) Names() []string {
	var names []string
	for name := range h.weights {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
