package client

import (
	"time"

	"github.com/kleinbild/kleinbild/inference"
)

// This file holds every limit of the package with its reason. A server may be broken or hostile: it must neither fill
// this computer's memory nor keep a person waiting without a word.

// Limits of what is read from a server, in bytes.
const (
	maxHeaderBytes   = 64 << 10 // all headers of a reply; a Kleinbild's have 1 kB, a proxy adds its own
	maxReplyBytes    = 64 << 10 // a JSON reply: the description of an engine has 2 kB
	maxLoRABytes     = 1 << 20  // the names of a server's adapters, or what it says of one of them
	maxDocumentBytes = 1 << 20  // the API's document, which has 60 kB; it is asked for only to explain a failure
	maxEventBytes    = 1 << 20  // an event other than picture and preview
	maxNameBytes     = 64       // the name of an event
	// pictureBytes is how many bytes of a PNG file a pixel may take: noise does not compress, and takes three. The
	// metadata, with a prompt of up to 64 KiB that JSON may make six times as long, has room beside it.
	pictureBytes     = 4
	maxMetadataBytes = 1 << 20
	// editedBytes and maxCarriedBytes are the same for a photo that was edited; a mask may be in its metadata.
	editedBytes     = 9
	maxCarriedBytes = 32 << 20
)

// Limits of what a server tells.
const (
	// maxPreviewSide bounds a preview. Those of an engine have the size of the picture that the model makes, or less.
	maxPreviewSide = 2048
	maxTextRunes   = 200  // a name of a model or device
	maxDetailRunes = 1000 // a sentence about what went wrong; it may hold a list of files
	maxLoRANames   = 4096 // adapters; people have some hundred
	maxNotices     = 8    // sentences about the model; there are two or three
	maxStages      = 16   // stages of a run; there are four
	maxCount       = 1e6  // a number of steps, tokens or pictures in a queue
	maxNativeSide  = 4096 // the native size of a model; those that exist have 1024
)

// maxSeconds bounds a time in seconds: a year.
const maxSeconds = 365 * 24 * 3600

// maxTokenBytes bounds a token, as at the server.
const maxTokenBytes = 4 << 10

// maxCertificateBytes bounds a file with the certificates of authorities. Those of a system have 250 kB.
const maxCertificateBytes = 4 << 20

// pictureEventBytes returns the longest event for the picture of a request: its file in base64, and the words around
// it. The file of a photo that was edited has up to four channels of 16 bits, a profile and an Exif block.
func pictureEventBytes(req inference.Request) int {
	size, pixel, more := req.PictureSize(), pictureBytes, maxMetadataBytes
	if laidIn(req) {
		pixel, more = editedBytes, maxMetadataBytes+maxCarriedBytes
	}
	file := size.Width*size.Height*pixel + more
	return file*4/3 + inference.MaxPromptBytes*6 + maxReplyBytes
}

// previewEventBytes returns the longest event for a preview of a request: a PNG file in base64.
func previewEventBytes(req inference.Request) int {
	size := req.PictureSize()
	pixels := min(size.Width, maxPreviewSide) * min(size.Height, maxPreviewSide)
	return max((pixels*pictureBytes+maxReplyBytes)*4/3, maxEventBytes)
}

// limits are the times of waiting. Tests shorten them.
type limits struct {
	connect time.Duration // for the connection, and again for its encryption
	ask     time.Duration // for a small question with its reply
	send    time.Duration // without a byte of a request being taken
	// answer is how long a request may be without any reply. A server reads its body, waits up to 30 s for memory, and as
	// long again for each reference's turn to be decoded; then it sends at least a comment every 15 s.
	answer time.Duration
	silent time.Duration // without a byte of a reply
	// busy is how long a request is sent again while the server refuses it because its queue is full (429). wait is the
	// time between two tries if the server names none, leastWait and mostWait bound what it names.
	busy                      time.Duration
	wait, leastWait, mostWait time.Duration
	// tries is how often a request is sent that did not reach a server, or that a server could not take (503).
	tries int
}

var usualLimits = limits{
	connect: 10 * time.Second, ask: 20 * time.Second,
	send: 30 * time.Second, answer: 3 * time.Minute, silent: 45 * time.Second,
	busy: time.Hour, // a full queue of large pictures on a processor takes as long
	wait: 2 * time.Second, leastWait: time.Second / 2, mostWait: time.Minute,
	tries: 5, // with the waits between them, a server has some ten seconds to be started again
}
