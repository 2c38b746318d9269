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

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server"
)

type serveCommand struct {
	Listen          string        `default:"127.0.0.1:7820" placeholder:"ADDR:PORT" help:"${listen_help}"`
	Token           string        `env:"KLEINBILD_TOKEN" placeholder:"TEXT" help:"${token_help}"`
	TokenFile       string        `placeholder:"FILE" help:"${token_file_help}"`
	TLSCert         string        `name:"tls-cert" placeholder:"FILE" help:"${tls_cert_help}"`
	TLSKey          string        `name:"tls-key" placeholder:"FILE" help:"${tls_key_help}"`
	NoAuth          bool          `help:"Serve without a token. Only for a loopback address."`
	ModelID         string        `name:"model-id" default:"flux2-klein-4b" placeholder:"NAME" help:"${model_id_help}"`
	ModelAlias      []string      `placeholder:"NAME" help:"${model_alias_help}"`
	AllowHost       []string      `placeholder:"NAME" help:"${allow_host_help}"`
	AllowOrigin     []string      `placeholder:"URL" help:"${allow_origin_help}"`
	AllowRemoteURIs bool          `name:"allow-remote-uris" help:"${allow_remote_uris_help}"`
	Queue           int           `default:"32" placeholder:"N" help:"${queue_help}"`
	MaxBody         int           `name:"max-body" default:"64" placeholder:"MB" help:"${max_body_help}"`
	Grace           time.Duration `default:"30s" placeholder:"TIME" help:"${grace_help}"`
	LogFormat       string        `enum:"text,json" default:"text" placeholder:"NAME" help:"${log_format_help}"`
	LogPrompts      bool          `help:"Also log the prompts."`
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
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return usagef("--tls-cert and --tls-key belong together, want both or neither")
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
	log := c.logger(s)
	var tls *certificate
	if c.TLSCert != "" {
		if tls, err = newCertificate(c.TLSCert, c.TLSKey, log); err != nil {
			return err
		}
	}
	// The address is taken before the model is opened, so that a bad one is told at once.
	listener, err := listen(c.Listen)
	if err != nil {
		return err
	}
	defer listener.Close()
	loopback := listener.Addr().(*net.TCPAddr).IP.IsLoopback()
	if c.NoAuth && !loopback {
		return usagef("--no-auth with --listen %s, want a loopback address such as 127.0.0.1:7820: "+
			"anybody in the network could use the server", c.Listen)
	}
	opener := &opener{options: options}
	defer opener.close()
	opened, err := c.report(ctx, s, opener)
	if err != nil {
		return err
	}
	token, err := c.token(ctx, s)
	if err != nil {
		return err
	}
	if !loopback && tls == nil {
		fmt.Fprintln(s.Err, "note: other machines can reach this address, "+
			"and neither the token nor the pictures are encrypted on the way (--tls-cert and --tls-key encrypt them)")
	}
	handler, err := server.New(server.Options{
		Open: opener.open, Opened: opened, ModelID: c.ModelID, ModelAliases: c.ModelAlias, Version: Version,
		Token: token, Hosts: c.AllowHost, Origins: c.AllowOrigin,
		AllowRemoteURIs: c.AllowRemoteURIs, QueueLimit: c.Queue, MaxBodyBytes: int64(c.MaxBody) << 20, Grace: c.Grace,
		Log: log, LogPrompts: c.LogPrompts,
	})
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	e.allow(c.Grace + server.EndsWithin)
	// If nobody reads the log any more, SIGPIPE must not end the picture under way: in kleinbild serve | tee, Ctrl+C also
	// ends tee, often before this program.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	// The address goes to standard output, so that a script can read which port was taken for port 0.
	scheme := "http"
	if tls != nil {
		scheme, listener = "https", tls.encrypted(listener)
	}
	fmt.Fprintf(s.Out, "%s://%s\n", scheme, listener.Addr())
	return handler.Serve(ctx, listener)
}

// report opens the model and prints what it is.
func (c serveCommand) report(ctx context.Context, s Streams, o *opener) (server.Model, error) {
	m, err := o.open(ctx)
	if err != nil {
		return m, err
	}
	info := m.Engine.Info()
	printNotices(s.Err, info)
	fmt.Fprintf(s.Err, "%s (%s, %s) on %s, %s\n", info.Model, info.Family, info.Variant, info.Device, info.Precision)
	return m, nil
}

func (c serveCommand) logger(s Streams) *slog.Logger {
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(escapedJSON{s.Err}, nil))
	}
	return slog.New(slog.NewTextHandler(s.Err, nil))
}

// opener opens the engine once and closes it at the end. If there is only the demo model because no other was found, it
// opens the first other model that appears. Requests that have begun by then finish with the demo model.
type opener struct {
	options inference.Options
	mu      sync.Mutex
	engine  *inference.Engine // the engine for new requests, nil if none was opened yet
	demo    *inference.Engine // the engine of the demo model, after another model has replaced it
}

// open returns the model for new requests.
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
