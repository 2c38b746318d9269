package models

import (
	"github.com/kleinbild/kleinbild/inference/checkpoint"
)

// Extras returns what can be downloaded beside the models and is no model itself: the decoder for previews, and
// networks that enlarge pictures. Quality and Need are zero.
func Extras() []Model {
	list := []Model{{
		Name: checkpoint.PreviewName, Title: "TAEF2: previews at the picture's size",
		Licence: Licence{
			Name: "MIT", Plain: "free for any use", URL: "https://github.com/madebyollin/taesd/blob/main/LICENSE",
		},
		SizeBytes: 5_400_000,
		sources:   []source{{repository: "madebyollin/taef2", files: []pattern{{path: checkpoint.PreviewFile}}}},
	}}
	for _, u := range upscalers {
		list = append(list, u.model())
	}
	return list
}

const realESRGAN = "https://github.com/xinntao/Real-ESRGAN"

// upscaler is a network of Real-ESRGAN's releases. The digests are those that several projects have pinned for them.
type upscaler struct {
	name, title string
	tag, file   string // of the release
	bytes       int64
	sha256      string
}

var upscalers = []upscaler{
	{
		"realesr-general-x4v3", "Upscaler, 4 times: small and fast", "v0.2.5.0", "realesr-general-x4v3.pth", 4_885_111,
		"8dc7edb9ac80ccdc30c3a5dca6616509367f05fbc184ad95b731f05bece96292",
	},
	{
		"realesrgan-x4plus", "Upscaler, 4 times: finer, much slower", "v0.1.0", "RealESRGAN_x4plus.pth", 67_040_989,
		"4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
	},
	{
		"realesrgan-x2plus", "Upscaler, 2 times: finer, slow", "v0.2.1", "RealESRGAN_x2plus.pth", 67_061_725,
		"49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
	},
	{
		"realesrgan-x4plus-anime", "Upscaler, 4 times: for drawings", "v0.2.2.4", "RealESRGAN_x4plus_anime_6B.pth",
		17_938_799, "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
	},
	{
		"realesr-animevideov3", "Upscaler, 4 times: for drawings, the fastest", "v0.2.5.0", "realesr-animevideov3.pth",
		2_504_012, "b8a8376811077954d82ca3fcf476f1ac3da3e8a68a4f4d71363008000a18b75d",
	},
}

func (u upscaler) model() Model {
	file := remoteFile{Path: u.file, SizeBytes: u.bytes, SHA256: u.sha256}
	return Model{
		Name: u.name, Title: u.title, SizeBytes: u.bytes,
		Licence: Licence{Name: "BSD-3-Clause", Plain: "free for any use", URL: realESRGAN + "/blob/master/LICENSE"},
		sources: []source{{repository: realESRGAN, release: &release{
			tag: u.tag, address: realESRGAN + "/releases/download/" + u.tag + "/" + u.file,
			file: wanted{remoteFile: file, to: checkpoint.UpscalerFile(u.name)},
		}}},
	}
}

// Extra says whether m is no model, but goes with one.
func (m Model) Extra() bool { return m.Quality == "" }

// isExtra says whether a folder of models with this name has an extra.
func isExtra(name string) bool {
	for _, m := range Extras() {
		if m.Name == name {
			return true
		}
	}
	return false
}
