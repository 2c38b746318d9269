package server

import "time"

// This file holds every limit of the room with its reason. A limit is here for one of three ends: no client may use up
// the machine, no client may shut others out, and nothing that a client does may wait for ever.

// The defaults of Options.
const (
	DefaultQueueLimit   = 32       // more would wait for minutes even on a fast GPU
	DefaultMaxBodyBytes = 64 << 20 // four photographs of 16 MB
	DefaultGrace        = 30 * time.Second
)

// Limits of a request's content.
const (
	// mostBodyBytes is the most that Options.MaxBodyBytes may be: four bodies of this size are in memory at once.
	mostBodyBytes = 256 << 20
	// maxHeaderBytes is room for a token, a proxy's headers and a browser's. net/http adds 4 kB.
	maxHeaderBytes = 32 << 10
	maxParts       = 64       // of a form: there are about 20 fields, and other programs send their own
	maxFieldBytes  = 64 << 10 // of a form's part that is no picture: a prompt may have as many
	// maxJSONBytes is a whole JSON body. Pictures never come in one, and what comes is copied several times
	// (jsonWeight).
	maxJSONBytes = 1 << 20
	maxURLBytes  = 8 << 10 // of an address in image_uris, as most servers have it
	maxPictures  = 10      // the n of a request, as at OpenAI
	maxPartials  = 3       // the most previews in a stream, as at OpenAI
)

// Memory for what clients send.
const (
	// laneBytes of every request are free of the budget, so that a request without pictures, of up to
	// 8 KiB of JSON, never waits for those with.
	// maxConnections bounds what all of them hold: 64 MiB.
	laneBytes  = 64 << 10
	formWeight = 1 // bytes of memory for each of a form: texts are few, and pictures are held once
	// jsonWeight is how many bytes of memory a byte of JSON takes: as it came, its fields, their texts, and what is
	// left over from growing the first. A test measures it.
	jsonWeight = 8
	// uploadBodies is how many of the largest bodies the budget holds. One more may be in memory: the upload that was
	// first may go beyond the budget, or several that fill it would wait for each other.
	uploadBodies = 3
)

// Memory for what is waited for.
const (
	// maxHeldBytes bounds references of requests that wait and their pictures until they are delivered.
	maxHeldBytes = 1 << 30
	// referenceBytes is a prepared reference: a megapixel in RGBA.
	referenceBytes = 4 << 20
	// pixelBytes of a finished picture's file: noise does not compress.
	pixelBytes = 3
)

// Limits of fetching references (Options.AllowRemoteURIs).
const (
	fetchRedirects   = 3
	fetchBytes       = 64 << 20 // of one file
	fetchHeaderBytes = 64 << 10
	fetchConnect     = 10 * time.Second // to an address, and again for TLS
	fetchAnswer      = 20 * time.Second // from the request to the headers
	// maxFetches are under way at once: a fetch takes a connection, and where it leads is a client's choice.
	maxFetches = 8
)

// Limits of connections.
const (
	// maxConnections take 40 MB together, and are well below what systems let a process open.
	maxConnections = 1024
	// spareConnections are answered with 503 beyond maxConnections; any others are closed without an answer.
	spareConnections = 64
	// drainBytes of a body that was refused are read, so that a client that sends all before it reads sees the answer:
	// the largest body that any server may take.
	drainBytes = mostBodyBytes
	// drainFirst is how long a refused body may be to be read before the answer, which keeps the connection for the
	// next request; it is net/http's own limit.
	drainFirst = 256 << 10
)

// Times of the end.
const (
	// deliverWait is what a picture that was finished within the grace has to reach its client.
	deliverWait = 5 * time.Second
	// cancelWait is how long a cancelled run may take to stop: a graphics card finishes the step that it has begun.
	cancelWait = 5 * time.Second
	// farewellWait is what all other requests have, which are told that the server ends: uploads, streams that wait.
	farewellWait = time.Second
	// EndsWithin is how long Serve takes at most, beyond Options.Grace, once its context has ended.
	EndsWithin = cancelWait + deliverWait + farewellWait + time.Second
)

// Looking for the model.
const (
	// retryOpen is how long a failure to open the model is remembered.
	retryOpen = 2 * time.Second
	// openPatience is how long a request that the demo model could serve waits for the search for a real one, which
	// takes milliseconds unless a disk does not answer.
	openPatience = 2 * time.Second
)

// writeChunk is what has to go out at the usual rate before the client counts as gone.
const writeChunk = 64 << 10

// limits are the times that a connection is held to; tests shorten them. A body or a reply may take long, but never
// stand still, nor creep.
type limits struct {
	header time.Duration // all headers of a request
	idle   time.Duration // between two requests
	stall  time.Duration // without any byte of a body, or of a reply
	rate   int64         // bytes a second of a body, a fetched file or a reply, over about the time stall
	body   time.Duration // a whole body
	// hurried and hurriedRate take the place of stall and rate for uploads while somebody waits for the memory that
	// they hold.
	hurried     time.Duration
	hurriedRate int64
	memory      time.Duration // waiting for memory for the next bytes of an upload
	drain       time.Duration // reading what is left of a refused body
	queued      time.Duration // between two events of a waiting request
	silent      time.Duration // between two bytes of a stream: proxies close silent connections
	fetch       time.Duration // a whole fetched file, its redirects and names included
	fetchQueue  time.Duration // waiting for a fetch to begin
	decoder     time.Duration // waiting for the pictures of others to be decoded
	reopen      time.Duration // between two searches for a model while there is none and nobody asks
}

var usualLimits = limits{
	header: 10 * time.Second, idle: 2 * time.Minute, body: 10 * time.Minute, memory: 30 * time.Second, drain: 10 * time.Second,
	// A radio link may lose 20 s, and 16 kB/s is a bad one. A body of 64 MB needs 110 kB/s for the limit of the whole.
	stall: 20 * time.Second, rate: 16 << 10,
	// Anything but a bad link has 256 kB/s. Who waits for memory waits longer than it takes to end a slower upload.
	hurried: 5 * time.Second, hurriedRate: 256 << 10,
	queued: 2 * time.Second, silent: 15 * time.Second,
	fetch: 30 * time.Second, fetchQueue: 30 * time.Second,
	decoder: 30 * time.Second, // 100 megapixels take some seconds
	reopen:  2500 * time.Millisecond,
}
