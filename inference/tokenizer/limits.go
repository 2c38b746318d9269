package tokenizer

// What is read of a tokenizer's files, which come with a stranger's model. Each limit is well above what Qwen3 has, and bounds
// the memory and the time that opening and encoding take.
const (
	// maxFileBytes is three times Qwen3's tokenizer.json of 11.4 MB.
	maxFileBytes = 32 << 20
	// maxConfigBytes bounds tokenizer_config.json, which has 10 kB with its chat template (which is not run), and the list of
	// added tokens in tokenizer.json. A million added tokens fit into 30 MB and would take 600.
	maxConfigBytes = 1 << 20
	// maxPreTokenizerBytes bounds the pre_tokenizer of tokenizer.json, which has 0.4 kB.
	maxPreTokenizerBytes = 64 << 10
	// maxID is the largest id accepted, six times the vocabulary of Qwen3; so many tokens and merges may there be.
	maxID     = 1<<20 - 1
	maxMerges = maxID + 1
	// maxAdded bounds the added tokens, of which Qwen3 has 26, and maxAddedBytes each of them: every byte of a prompt may
	// begin one.
	maxAdded      = 1000
	maxAddedBytes = 256
	// maxPromptLength bounds what Prompt is asked for; the model was trained on 512, and Qwen3 itself on 131072.
	maxPromptLength = 131072
)
