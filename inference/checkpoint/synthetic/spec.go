package synthetic

// Spec describes a checkpoint: its configs, and the seed of its values.
type Spec struct {
	Seed      uint64
	Distilled bool

	// The configs have the fields that Diffusers and transformers write.
	Transformer TransformerConfig
	VAE         VAEConfig
	TextEncoder TextEncoderConfig

	// The largest size of a shard in bytes; 0 for one file.
	TransformerShardBytes, TextEncoderShardBytes int64
}

// TransformerConfig is transformer/config.json.
type TransformerConfig struct {
	ClassName                string  `json:"_class_name"`
	AttentionHeadDim         int     `json:"attention_head_dim"`
	AxesDimsRope             [4]int  `json:"axes_dims_rope"`
	Eps                      float64 `json:"eps"`
	GuidanceEmbeds           bool    `json:"guidance_embeds"`
	InChannels               int     `json:"in_channels"`
	JointAttentionDim        int     `json:"joint_attention_dim"`
	MLPRatio                 float64 `json:"mlp_ratio"`
	NumAttentionHeads        int     `json:"num_attention_heads"`
	NumLayers                int     `json:"num_layers"`
	NumSingleLayers          int     `json:"num_single_layers"`
	OutChannels              *int    `json:"out_channels"`
	PatchSize                int     `json:"patch_size"`
	RopeTheta                int     `json:"rope_theta"`
	TimestepGuidanceChannels int     `json:"timestep_guidance_channels"`
}

// VAEConfig is vae/config.json. DecoderBlockOutChannels is nil if the decoder has the same channels as the encoder.
type VAEConfig struct {
	ClassName               string   `json:"_class_name"`
	ActFn                   string   `json:"act_fn"`
	BatchNormEps            float64  `json:"batch_norm_eps"`
	BatchNormMomentum       float64  `json:"batch_norm_momentum"`
	BlockOutChannels        []int    `json:"block_out_channels"`
	DecoderBlockOutChannels []int    `json:"decoder_block_out_channels"`
	DownBlockTypes          []string `json:"down_block_types"`
	InChannels              int      `json:"in_channels"`
	LatentChannels          int      `json:"latent_channels"`
	LayersPerBlock          int      `json:"layers_per_block"`
	MidBlockAddAttention    bool     `json:"mid_block_add_attention"`
	NormNumGroups           int      `json:"norm_num_groups"`
	OutChannels             int      `json:"out_channels"`
	PatchSize               [2]int   `json:"patch_size"`
	SampleSize              int      `json:"sample_size"`
	UpBlockTypes            []string `json:"up_block_types"`
	UsePostQuantConv        bool     `json:"use_post_quant_conv"`
	UseQuantConv            bool     `json:"use_quant_conv"`
}

// TextEncoderConfig is text_encoder/config.json.
type TextEncoderConfig struct {
	Architectures         []string `json:"architectures"`
	AttentionBias         bool     `json:"attention_bias"`
	DType                 string   `json:"dtype"`
	HeadDim               int      `json:"head_dim"`
	HiddenAct             string   `json:"hidden_act"`
	HiddenSize            int      `json:"hidden_size"`
	IntermediateSize      int      `json:"intermediate_size"`
	MaxPositionEmbeddings int      `json:"max_position_embeddings"`
	ModelType             string   `json:"model_type"`
	NumAttentionHeads     int      `json:"num_attention_heads"`
	NumHiddenLayers       int      `json:"num_hidden_layers"`
	NumKeyValueHeads      int      `json:"num_key_value_heads"`
	RMSNormEps            float64  `json:"rms_norm_eps"`
	RopeTheta             int      `json:"rope_theta"`
	TieWordEmbeddings     bool     `json:"tie_word_embeddings"`
	VocabSize             int      `json:"vocab_size"`
}

// NewTransformer returns the config of a transformer of the family with the given numbers of heads, which have 128
// channels each, and of blocks. contextDim is the width of the prompt embeds.
func NewTransformer(heads, doubleBlocks, singleBlocks, contextDim int) TransformerConfig {
	return TransformerConfig{
		ClassName: "Flux2Transformer2DModel", AttentionHeadDim: 128, AxesDimsRope: [4]int{32, 32, 32, 32}, Eps: 1e-6,
		InChannels: 128, JointAttentionDim: contextDim, MLPRatio: 3, NumAttentionHeads: heads, NumLayers: doubleBlocks,
		NumSingleLayers: singleBlocks, PatchSize: 1, RopeTheta: 2000, TimestepGuidanceChannels: 256,
	}
}

// NewVAE returns the config of an autoencoder of the family. encoder and decoder are the channels of the levels, from
// the highest resolution down. If decoder is nil, it is like encoder.
func NewVAE(encoder, decoder []int) VAEConfig {
	c := VAEConfig{
		ClassName: "AutoencoderKLFlux2", ActFn: "silu", BatchNormEps: 1e-4, BatchNormMomentum: 0.1,
		BlockOutChannels: encoder, DecoderBlockOutChannels: decoder, InChannels: 3, LatentChannels: 32, LayersPerBlock: 2,
		MidBlockAddAttention: true, NormNumGroups: 32, OutChannels: 3, PatchSize: [2]int{2, 2}, SampleSize: 1024,
		UsePostQuantConv: true, UseQuantConv: true,
	}
	for range encoder {
		c.DownBlockTypes = append(c.DownBlockTypes, "DownEncoderBlock2D")
		c.UpBlockTypes = append(c.UpBlockTypes, "UpDecoderBlock2D")
	}
	return c
}

// NewTextEncoder returns the config of a Qwen3 whose heads have 128 channels.
func NewTextEncoder(layers, hidden, heads, keyValueHeads, intermediate, vocabulary int) TextEncoderConfig {
	return TextEncoderConfig{
		Architectures: []string{"Qwen3ForCausalLM"}, DType: "bfloat16", HeadDim: 128, HiddenAct: "silu", HiddenSize: hidden,
		IntermediateSize: intermediate, MaxPositionEmbeddings: 40960, ModelType: "qwen3", NumAttentionHeads: heads,
		NumHiddenLayers: layers, NumKeyValueHeads: keyValueHeads, RMSNormEps: 1e-6, RopeTheta: 1000000,
		TieWordEmbeddings: true, VocabSize: vocabulary,
	}
}

// Full4B returns a spec with the sizes and the shards of FLUX.2 [klein] 4B: 16 GB.
func Full4B() Spec {
	return Spec{
		Seed: 1, Distilled: true,
		Transformer:           NewTransformer(24, 5, 20, 7680),
		VAE:                   NewVAE([]int{128, 256, 512, 512}, nil),
		TextEncoder:           NewTextEncoder(36, 2560, 32, 8, 9728, 151936),
		TextEncoderShardBytes: 5e9,
	}
}

// TinyDistilled returns the spec of a small distilled checkpoint of about 21 MB with every kind of layer, and a text
// encoder in two shards.
func TinyDistilled() Spec {
	return Spec{
		Seed: 1, Distilled: true,
		Transformer:           NewTransformer(2, 2, 2, 3*64),
		VAE:                   NewVAE([]int{32, 64, 64, 64}, nil),
		TextEncoder:           NewTextEncoder(28, 64, 2, 1, 160, 2288),
		TextEncoderShardBytes: 2_420_000,
	}
}

// TinyBase returns the spec of a small base model with other shapes: a transformer in shards, a decoder with fewer
// channels than the encoder, and a text encoder with other numbers of heads.
func TinyBase() Spec {
	return Spec{
		Seed:                  2,
		Transformer:           NewTransformer(1, 1, 3, 3*96),
		VAE:                   NewVAE([]int{32, 32, 64, 64}, []int{32, 32, 32, 64}),
		TextEncoder:           NewTextEncoder(29, 96, 4, 2, 192, 1788),
		TransformerShardBytes: 1_600_000,
		TextEncoderShardBytes: 6_140_000,
	}
}
