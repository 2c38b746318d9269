package tokenizer_test

import (
	"fmt"
	"log"

	"github.com/kleinbild/kleinbild/inference/tokenizer"
)

// Token ids of a text, and the text of the ids.
func ExampleTokenizer_Encode() {
	t, err := tokenizer.Embedded() // Qwen3's, which is part of the program; Open reads that of a checkpoint
	if err != nil {
		log.Fatal(err)
	}
	ids := t.Encode("a red fox")
	fmt.Println(ids)
	fmt.Println(t.Decode(ids))
	// Output:
	// [64 2518 38835]
	// a red fox
}

// A prompt gets the chat template around it, and padding up to the length that the model reads.
func ExampleTokenizer_Prompt() {
	t, err := tokenizer.Embedded()
	if err != nil {
		log.Fatal(err)
	}
	e, err := t.Prompt("a red fox", 512)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(e.IDs), "ids, of which", e.Count, "are not padding")
	fmt.Printf("%q\n", t.Decode(e.IDs[:e.Count]))
	// Output:
	// 512 ids, of which 15 are not padding
	// "<|im_start|>user\na red fox<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
}
