// Package look holds what the window looks like: its colours and sizes, as JSON that Fyne reads, and the icon.
package look

import "embed"

// Theme is a theme for Fyne's theme.FromJSON. Beside Fyne's own names it has "canvas", the ground that pictures are
// judged on, and "scrim" with "onScrim" for what lies over pictures.
//
//go:embed theme.json
var Theme string

// Icon is the app's icon, 256 × 256 pixels, as a PNG file.
//
//go:embed icon.png
var Icon []byte

// Dice is the icon of a new seed, an SVG file.
//
//go:embed dice.svg
var Dice []byte

// Tools are the icons of the canvas' tools: SVG files, by their names.
//
//go:embed tools/*.svg
var Tools embed.FS

// The icons of where a picture lies in a larger one (PlaceStart, PlaceMiddle, PlaceEnd), of quarter turns and of the
// two ways to mirror a picture, SVG files.
var (
	//go:embed place-start.svg
	PlaceStart []byte
	//go:embed place-middle.svg
	PlaceMiddle []byte
	//go:embed place-end.svg
	PlaceEnd []byte
	//go:embed turn-left.svg
	TurnLeft []byte
	//go:embed turn-right.svg
	TurnRight []byte
	//go:embed flip-across.svg
	FlipAcross []byte
	//go:embed flip-down.svg
	FlipDown []byte
)

// Star and StarOutline are the icons of a picture with a star, and of one that could get one, SVG files.
//
//go:embed star.svg
var Star []byte

//go:embed star-outline.svg
var StarOutline []byte
