package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"

	"kleinbild/inference"
	"kleinbild/server"
)

type serveCommand struct {
	Listen          string        `default:"127.0.0.1:7820" placeholder:"ADDR:PORT" help:"Where to listen. Port 0 takes a free one."`
	Token           string        `env:"KLEINBILD_TOKEN" placeholder:"TEXT" help:"What requests must send as Authorization: Bearer TEXT. Every user of this machine sees it in the list of processes: --token-file or $$KLEINBILD_TOKEN keep it to yourself. Default: made at the first start and kept."`
	TokenFile       string        `placeholder:"FILE" help:"A file that holds the token and nothing else; - reads it from standard input."`
	NoAuth          bool          `help:"Ask for no token; on a loopback address only."`
	ModelID         string        `name:"model-id" default:"flux2-klein-4b" placeholder:"NAME" help:"The name that the model answers to."`
	ModelAlias      []string      `placeholder:"NAME" help:"Another name that the model answers to, such as gpt-image-1; may be given several times."`
	AllowHost       []string      `placeholder:"NAME" help:"A name, beside localhost and IP addresses, that clients may use for this machine."`
	AllowOrigin     []string      `placeholder:"URL" help:"A website, such as https://paint.example, whose scripts may use the API."`
	AllowRemoteURIs bool          `name:"allow-remote-uris" help:"Fetch reference pictures from http and https addresses on the public internet."`
	Queue           int           `default:"32" placeholder:"N" help:"Requests that may wait, half of what the others leave for each client; more get 429."`
	MaxBody         int           `name:"max-body" default:"64" placeholder:"MB" help:"The largest request, 1 to 256 MiB."`
	Grace           time.Duration `default:"30s" placeholder:"TIME" help:"How long the picture under way may take once the server is told to end."`
	LogFormat       string        `enum:"text,json" default:"text" placeholder:"NAME" help:"text or json, on standard error."`
	LogPrompts      bool          `help:"Log the prompts, too."`
	modelFlags
}

func (c serveCommand) Run(ctx context.Context, s Streams, e *ending) error {
	switch {
	case c.NoAuth && c.Token != "":
		return usagef("--no-auth and --token (or $KLEINBILD_TOKEN) exclude each other")
	case c.NoAuth && c.TokenFile != "":
		return usagef("--no-auth and --token-file exclude each other")
	case c.Token != "" && c.TokenFile != "":
		return usagef("--token (or $KLEINBILD_TOKEN) and --token-file exclude each other")
	case c.Token != "" && !isToken(c.Token):
		return usagef("--token (or $KLEINBILD_TOKEN): %s", wantToken)
	case c.ModelID == "" || slices.Contains(c.ModelAlias, ""):
		return usagef("--model-id and --model-alias: found an empty name, want one")
	case c.Queue < 1 || c.Queue > 10000:
		return usagef("--queue %d, want 1 to 10000", c.Queue)
	case c.MaxBody < 1 || c.MaxBody > 256:
		return usagef("--max-body %d, want 1 to 256", c.MaxBody)
	case c.Grace <= 0 || c.Grace > 24*time.Hour:
		return usagef("--grace %v, want more than 0s and at most 24h", c.Grace)
	}
	if err := c.checkNames(); err != nil {
		return err
	}
	options, err := c.options()
	if err != nil {
		return err
	}
	opener := &opener{options: options}
	defer opener.close()
	opened, err := c.report(ctx, s, opener)
	if err != nil {
		return err
	}
	listener, err := listen(c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	loopback := listener.Addr().(*net.TCPAddr).IP.IsLoopback()
	if c.NoAuth && !loopback {
		return usagef("--no-auth with --listen %s, want a loopback address such as 127.0.0.1:7820: anybody in the network could use it", c.Listen)
	}
	token, err := c.token(ctx, s)
	if err != nil {
		return err
	}
	if !loopback {
		fmt.Fprintln(s.Err, "note: other machines can reach this address, and neither the token nor the pictures are encrypted on the way")
	}
	handler, err := server.New(server.Options{
		Open: opener.open, Opened: opened, ModelID: c.ModelID, ModelAliases: c.ModelAlias, Version: Version, Token: token, Hosts: c.AllowHost, Origins: c.AllowOrigin,
		AllowRemoteURIs: c.AllowRemoteURIs, QueueLimit: c.Queue, MaxBodyBytes: int64(c.MaxBody) << 20, Grace: c.Grace,
		Log: c.logger(s), LogPrompts: c.LogPrompts,
	})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e.allow(c.Grace + server.EndsWithin)
	// A log that nobody reads any more, as when Ctrl+C has ended tee before this program, does not end a picture.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	// The address goes to standard output: with port 0 nobody could guess it.
	fmt.Fprintf(s.Out, "http://%s\n", listener.Addr())
	return handler.Serve(ctx, listener)
}

// report opens the model and says what it is.
func (c serveCommand) report(ctx context.Context, s Streams, o *opener) (server.Model, error) {
	m, err := o.open(ctx)
	if err != nil {
		return m, err
	}
	info := m.Engine.Info()
	for _, notice := range info.Notices {
		fmt.Fprintln(s.Err, "note:", notice)
	}
	fmt.Fprintf(s.Err, "%s (%s, %s) on %s, %s\n", info.Model, info.Family, info.Variant, info.Device, info.Precision)
	return m, nil
}

func (c serveCommand) logger(s Streams) *slog.Logger {
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(escapedJSON{s.Err}, nil))
	}
	return slog.New(slog.NewTextHandler(s.Err, nil))
}

// opener opens the engine once and closes it at the end. Where the demo model serves for want of another, it takes the
// first real one that appears; requests that have begun finish with the demo model.
type opener struct {
	options      inference.Options
	mu           sync.Mutex
	engine, demo *inference.Engine
}

func (o *opener) open(ctx context.Context) (server.Model, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.engine != nil && o.engine.Info().Missing != nil {
		if _, err := inference.FindModel(ctx, o.options); err == nil {
			engine, err := inference.Open(ctx, o.options)
			if err != nil {
				return server.Model{}, err
			}
			if engine.Info().Missing != nil { // it is gone again
				_ = engine.Close()
			} else {
				o.engine, o.demo = engine, o.engine
			}
		}
	}
	if o.engine == nil {
		engine, err := inference.Open(ctx, o.options)
		if err != nil {
			return server.Model{}, err
		}
		o.engine = engine
	}
	return server.Model{Engine: o.engine, Demo: o.engine.Info().Demo}, nil
}

func (o *opener) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, engine := range []*inference.Engine{o.engine, o.demo} {
		if engine != nil {
			_ = engine.Close() // the process ends; there is nothing left to lose
		}
	}
}
