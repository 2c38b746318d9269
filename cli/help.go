package cli

import "github.com/alecthomas/kong"

// helpTexts are the longer help texts of flags, by their names in the flags' tags: a tag cannot be broken into lines.
// Kong writes $ for $$ in a tag, but not here.
var helpTexts = kong.Vars{
	"model_help": "The model: a folder; files or folders separated by commas; a name that models list shows; " +
		"an id of the hub (OWNER/NAME) that is in its cache; or demo for the built-in demo model. " +
		"Default: $KLEINBILD_MODEL, then the usual places.",
	"vae_help": "Use this VAE in place of the model's: a file, a folder of Diffusers, or a file with a decoder alone, " +
		"such as FLUX.2-small-decoder's, which joins the model's encoder.",
	"preview_help": "Write what the picture will look like to this .png file after each step. It is replaced each time. " +
		"With TAEF2 (models get taef2) it has the picture's size.",
	"convert_model_help": "What to convert, in BF16, F16 or F32: a model as in generate, or the file of the " +
		"network alone. Default: the model that is used.",
	"quality_model_help": "A model as in generate. Give at least two: all are compared with the first.",
	"quality_prompt_help": "A prompt to compare with. May be given several times. " +
		"Default: four prompts that the demo model can draw, too.",
	"quality_size_help": "Size of the pictures. Default: the square that the first model was trained on.",
	"to_help": "The kind of the large matrices: Q8_0, Q6_K, Q4_K or Q4_0 (a GGUF file), fp8, or int8 (with ConvRot). " +
		"Norms, embedders and the final layer stay as they are.",
	"weighted_help": "Search for the scales with the least weighted error. Default for Q6_K and Q4_K.",
	"quality_precision_help": "One precision for all models, or one for each, after a comma: " +
		"--precision float32,int8. Default: auto.",
	"precision_help": "auto, float32 (exact), bf16 (as models usually run), int8 (faster, with less memory, and " +
		"less exact) or fp8 (for fp8 files, on cards that multiply it). Default: auto.",
	"aspect_help": "The shape of the picture: square, landscape (default), portrait, photo, photo_v, standard, " +
		"standard_v, wide, a ratio such as 16:9 for the nearest of these shapes, or match for the size of image 1.",
	"seed_help": "The same seed gives the same picture; -1 is random. Default: random.",
	"output_help": "The file to write: .png, .jpg, .webp or .tif, or - for a PNG on standard output. " +
		"Default: kleinbild-SEED.png, with a number added if that file exists. For --prompts and a folder of pictures: " +
		"a folder, or a pattern such as made/{name}.jpg with {name}, {number} or {seed}.",
	"prompts_help": "Make a picture for each line of this file, - for standard input: a prompt, or a JSON object with " +
		"fields such as prompt, seed, size and references. The other flags are the defaults of every line. Pictures that " +
		"are there already are not made again.",
	"like_help":  "Repeat a picture made by Kleinbild, except for what other flags change.",
	"noise_help": "Start from the tensor called noise in a safetensors file instead of the seed's noise (for tests).",
	"lora_help": "A LoRA, LoHa, LoKr or DoRA: a file, or a name that lora list shows, and how strongly it is applied " +
		"(default 1; may be negative). May be given several times. A prompt may have <lora:NAME:STRENGTH> instead.",
	"token_help": "The token that requests must send, as Authorization: Bearer TEXT. Every user of this machine can see " +
		"this flag in the list of processes; --token-file and $KLEINBILD_TOKEN are private. " +
		"Default: a token that the first start makes and keeps.",
	"token_file_help": "A file that holds the token and nothing else; - reads the token from standard input.",
	"server_help": "Use the engine of another computer, on which kleinbild serve runs: its address, such as " +
		"https://studio.lan:7820. Prompts and references go there; pictures come back, and nothing is kept there.",
	"server_token_help": "The token of --server. Every user of this machine can see this flag in the list of processes; " +
		"--token-file and $KLEINBILD_SERVER_TOKEN are private. Default: the token that the window keeps for the address.",
	"server_token_file_help": "A file that holds the token of --server and nothing else; - reads standard input.",
	"ca_help": "A file with certificates in PEM form: authorities that may have signed the certificate of --server, " +
		"beside those that the system trusts.",
	"insecure_help": "Allow http:// to another computer. Everybody on the way can then read token, prompts and pictures.",
	"tls_cert_help": "Encrypt: the server's certificate, with those of its authorities, in PEM form. It is read again " +
		"when the file changes.",
	"tls_key_help":     "The private key of --tls-cert, in PEM form.",
	"model_alias_help": "Another name of the model in requests, such as gpt-image-1. May be given several times.",
	"allow_host_help":  "A name that clients may use for this machine, beside localhost and IP addresses.",
	"allow_remote_uris_help": "Fetch reference pictures from http and https addresses on the public internet " +
		"if requests name them.",
	"queue_help": "How many requests may wait. Each client may have half of the places that the others leave; " +
		"more requests get status 429.",
	"grace_help": "How long the picture under way may take after the server was told to end.",
	"base_url_help": "The server to download from. Default: https://huggingface.co, or the mirror that " +
		"$HF_ENDPOINT names.",
	"tokens_json_help": "Read lines of JSON {\"prompt\": …} and write a line " +
		"{\"ids\": […], \"count\": n, \"truncated\": bool} for each.",
	"info_file_help": "A picture (PNG, JPEG, WebP) made by Kleinbild, or by AUTOMATIC1111, ComfyUI or InvokeAI.",
	"upscale_output_help": "The file to write, or a folder: .png (up to 200 megapixels), .jpg, .webp or .tif. " +
		"Default: NAME-4x.png for an enlargement of 4, with a number added if that file exists.",
	"upscaler_help": "The network: a .safetensors or .pth file, a name that models list shows, or that of a file that " +
		"another program has. Default: the first that is found.",
	"scale_help": "How many times as long the sides become: 2, 3 or 4. Default: as the network does. Another size " +
		"than the network's is reached by Lanczos.",
	"refine_help": "Have a model of FLUX.2 draw the enlarged picture again, in parts.",
	"refine_prompt_help": "With --refine: what the model does to each part; - reads it from standard input. " +
		"Default: to add fine detail.",
	"refine_strength_help": "With --refine: how much may change, above 0 and at most 1. Default: 0.25.",
	"refine_model_help":    "With --refine: the model of FLUX.2, as -m of generate. Default: as there.",
	"tune_help":            "Measure which kernels are fastest on the graphics card, and keep the choices.",
	"path_help":            "Measure only this path. May be given several times. doctor shows the paths.",
	"device_help":          "auto, cpu or cuda; or sim, which is cuda in software, for tests.",
	"image_help": "A reference picture. May be given up to four times, in order. The first is the one that is edited. " +
		"One of them may be a folder: then a picture is made for each picture in it.",
	"mask_help": "A picture that is white where image 1 changes and black where it stays, of any size; " +
		"or alpha for the transparency of image 1. Pixels under black stay as they are, bit for bit.",
	"strength_help": "How much noise image 1 begins with, above 0 and at most 1: less stays closer to it. Default: 1.",
	"extend_help": "Make image 1 larger, by so many pixels on the left, top, right and bottom, " +
		"or to a ratio such as 16:9 or a shape of --aspect.",
	"feather_help": "The width of the soft edge inside of the mask. Default: chosen for the mask.",
	"context_help": "How much around the mask the model works on, too. Default: chosen for the mask.",
	"area_help": "The part of image 1 that the model works on: left and upper edge, width and height, " +
		"around the mask. Default: chosen for the mask.",
	"match_colours_help": "Match the colours of the result to image 1. Default: on with a mask or --extend, else off.",
	"source_help": "Whether the model looks at image 1 (reference, default) or not (hidden): what was there then " +
		"shows through less.",
	"keep_unchanged_help": "After an edit without a mask, restore what hardly changed from image 1 " +
		"at its full resolution: 0 (off, default) to 1 (the most).",
	"overwrite_help": "Let -o replace a file that is also a reference picture or the mask; for --prompts and a folder, " +
		"a file that was made for another request.",
	"count_help":        "How many pictures to make. The seed increases by one from picture to picture.",
	"listen_help":       "The address to listen on. Port 0 takes a free port.",
	"model_id_help":     "The name of the model in requests.",
	"allow_origin_help": "A website, such as https://paint.example, whose scripts may use the API.",
	"max_body_help":     "The largest body of a request, 1 to 256 MiB.",
	"log_format_help":   "The format of the log on standard error: text or json.",
}
