package server

import "time"

// This file holds every limit of the package with its reason. Each limit serves one of three aims: no client may use up
// the machine, no client may shut others out, and nothing that a client does may wait for ever.

// The defaults of Options.
const (
	DefaultQueueLimit   = 32       // with more, the last request would wait for minutes even on a fast GPU
	DefaultMaxBodyBytes = 64 << 20 // four photographs of 16 MB
	DefaultGrace        = 30 * time.Second
)

// Limits of a request's content.
const (
	// mostBodyBytes is the largest value of Options.MaxBodyBytes: up to four bodies of this size are in memory at once.
	mostBodyBytes = 256 << 20
	// maxHeaderBytes bounds all headers of a request: a token, a proxy's headers and a browser's headers fit. net/http
	// allows 4 kB more.
	maxHeaderBytes = 32 << 10
	maxParts       = 64       // parts of a form: there are about 20 fields, and other programs send their own
	maxFieldBytes  = 64 << 10 // bytes of a form's part that is not a picture: a prompt may have as many
	// maxJSONBytes bounds a JSON body. Pictures never come in JSON, and the server copies JSON several times
	// (jsonWeight).
	maxJSONBytes = 1 << 20
	maxURLBytes  = 8 << 10 // bytes of an address in image_uris: most web servers have this limit
	maxPictures  = 10      // the largest n of a request, as at OpenAI
	maxPartials  = 3       // the largest number of previews of a picture in a stream, as at OpenAI
)

// Memory for what clients send.
const (
	// uncountedBytes is how many bytes of every request do not count in the budget for uploads. So a request without
	// pictures, of up to 8 KiB of JSON, never waits for requests with pictures. As there are at most maxConnections
	// requests, all uncounted bytes together take at most 64 MiB.
	uncountedBytes = 64 << 10
	formWeight     = 1 // bytes of memory for a byte of a form: it has little text, and pictures are held once
	// jsonWeight is how many bytes of memory a byte of JSON takes: the body itself, its fields, their texts, and the
	// smaller buffers that were left behind while the body was read. A test measures it.
	jsonWeight = 8
	// uploadBodies is how many bodies of the largest size the budget holds. One more may be in memory: the upload that
	// began first may go beyond the budget. Otherwise several uploads that fill the budget would wait for each other.
	uploadBodies = 3
)

// Memory for requests in the queue.
const (
	// maxHeldBytes bounds the memory of all admitted requests: their references, and their pictures until the clients
	// have them.
	maxHeldBytes = 1 << 30
	// referenceBytes is the size of a prepared reference: a megapixel in RGBA.
	referenceBytes = 4 << 20
	// pixelBytes is how many bytes of a finished picture's file a pixel may take: noise does not compress.
	pixelBytes = 3
	// editedPixelBytes is the same for a photo that was edited, which may have four channels. One of 16 bits takes up to
	// twice as much; such files seldom come to a server.
	editedPixelBytes = 4
	// maxPreviewPixels bounds a preview that is sent: pictures that are made have at most 2048×2048, photos that are
	// edited may have 100 megapixels.
	maxPreviewPixels = 2048 * 2048
)

// Limits of fetching references (Options.AllowRemoteURIs).
const (
	fetchRedirects   = 3
	fetchBytes       = 64 << 20 // bytes of one file
	fetchHeaderBytes = 64 << 10
	fetchConnect     = 10 * time.Second // for the connection, and again for the TLS handshake
	fetchAnswer      = 20 * time.Second // from the request to the headers of the answer
	// maxFetches is how many fetches may run at once: each takes a connection to a server that a client chose.
	maxFetches = 8
)

// Limits of connections.
const (
	// maxConnections is the number of connections that are served. They take 40 MB together, and systems let a process
	// open many more.
	maxConnections = 1024
	// spareConnections is how many connections beyond maxConnections are answered with 503. Any others are closed
	// without an answer.
	spareConnections = 64
	// drainBytes is how many bytes of a refused body are read, so that a client that sends the whole body before it reads
	// sees the answer. It is the size of the largest body that any server accepts.
	drainBytes = mostBodyBytes
	// drainFirst is the size up to which a refused body is read before the answer, so that the connection can serve the
	// next request. It is net/http's own limit.
	drainFirst = 256 << 10
)

// Times of the shutdown.
const (
	// deliverWait is how long a client may take to read a picture that was finished within Options.Grace.
	deliverWait = 5 * time.Second
	// cancelWait is how long a cancelled run may take to stop: a graphics card finishes the step that it has begun.
	cancelWait = 5 * time.Second
	// farewellWait is how long the server then waits for all other requests, such as uploads and waiting streams, to
	// read the error that the server is shutting down.
	farewellWait = time.Second
	// EndsWithin is the longest time that Serve takes to return after its context has ended, beyond Options.Grace.
	EndsWithin = cancelWait + deliverWait + farewellWait + time.Second
)

// Times of opening the model.
const (
	// retryOpen is how long the server waits after one attempt to open the model before it starts another one.
	retryOpen = 2 * time.Second
	// openPatience is how long a request that the demo model could serve waits for the search for another model. The
	// search takes milliseconds unless a disk does not answer.
	openPatience = 2 * time.Second
)

// writeChunk is how many bytes of a reply are written at once. The client has to take them at the rate of limits.
const writeChunk = 64 << 10

// limits are the time limits of a connection. Tests shorten them. A body or a reply may take long, but it must not
// stop, nor become slower than the minimum rate.
type limits struct {
	header time.Duration // for all headers of a request
	idle   time.Duration // between two requests of a connection
	stall  time.Duration // without any byte of a body, or of a reply
	rate   int64         // minimum rate of a body, a fetched file or a reply in bytes a second, over about the time stall
	body   time.Duration // for a whole body
	// hurried and hurriedRate replace stall and rate for an upload while another request waits for the memory that the
	// upload holds.
	hurried     time.Duration
	hurriedRate int64
	memory      time.Duration // for an upload to wait for memory for its next bytes
	drain       time.Duration // for reading the rest of a refused body
	queued      time.Duration // between two events of a request in the queue
	silent      time.Duration // between two bytes of a stream: proxies close silent connections
	fetch       time.Duration // for fetching a whole file, with name lookup and redirects
	fetchQueue  time.Duration // for a fetch to wait for its beginning
	decoder     time.Duration // for a picture to wait while other pictures are decoded
	reopen      time.Duration // between two attempts to open a model while there is none and no request asks for it
}

var usualLimits = limits{
	header: 10 * time.Second, idle: 2 * time.Minute, body: 10 * time.Minute, memory: 30 * time.Second,
	drain: 10 * time.Second,
	// A mobile link may pause for 20 s, and a bad one has 16 kB/s. A body of 64 MB needs 110 kB/s to arrive within the
	// limit for a whole body.
	stall: 20 * time.Second, rate: 16 << 10,
	// Any link but a bad one has 256 kB/s. An upload may wait for memory for longer than it takes to end a slower one.
	hurried: 5 * time.Second, hurriedRate: 256 << 10,
	queued: 2 * time.Second, silent: 15 * time.Second,
	fetch: 30 * time.Second, fetchQueue: 30 * time.Second,
	decoder: 30 * time.Second, // 100 megapixels take some seconds
	reopen:  2500 * time.Millisecond,
}
