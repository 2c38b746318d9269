package tokenizer

// Limits for a tokenizer's files, which may come from a stranger. They bound the memory and time of opening and
// encoding, and are well above the sizes of Qwen3's files.
const (
	// maxFileBytes is three times the size of Qwen3's tokenizer.json, 11.4 MB.
	maxFileBytes = 32 << 20
	// maxConfigBytes bounds tokenizer_config.json, whose 10 kB include a chat template (which is not run), and the list
	// of added tokens in tokenizer.json: a list of ten million empty ones has 30 MB and took 600 MB to parse.
	maxConfigBytes = 1 << 20
	// maxPreTokenizerBytes bounds the pre_tokenizer of tokenizer.json, which has 0.4 kB in Qwen3's.
	maxPreTokenizerBytes = 64 << 10
	// maxID is the largest id, about seven times that of Qwen3. It also bounds the number of tokens and of merges.
	maxID     = 1<<20 - 1
	maxMerges = maxID + 1
	// maxAdded bounds the number of added tokens, of which Qwen3 has 26, and maxAddedBytes the length of each: at every
	// byte of a prompt an added token may begin.
	maxAdded      = 1000
	maxAddedBytes = 256
	// maxPromptLength bounds Prompt's maxLength. FLUX.2 [klein] was trained with 512 tokens, Qwen3 with 131072.
	maxPromptLength = 131072
)
