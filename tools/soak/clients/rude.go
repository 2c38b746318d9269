package clients

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// rudeness is a rude thing that a client does on a new connection.
type rudeness struct {
	name string
	do   func(*client, context.Context, net.Conn)
}

var rudenesses = []rudeness{
	{"very slow upload", func(c *client, ctx context.Context, conn net.Conn) {
		contentType, body := form(map[string]string{"prompt": "x"}, make([]byte, c.Bytes))
		write(conn, c.head("/v1/generate", contentType, len(body)))
		for i := 0; i < len(body) && ctx.Err() == nil && write(conn, string(body[i:i+min(200, len(body)-i)])); i += 200 {
			c.sleep(ctx, 100*time.Millisecond)
		}
		c.read(conn)
	}},
	{"upload that stops half-way", func(c *client, ctx context.Context, conn net.Conn) {
		contentType, body := form(map[string]string{"prompt": "x"}, make([]byte, c.Bytes))
		write(conn, c.head("/v1/generate", contentType, len(body)))
		write(conn, string(body[:len(body)*3/4]))
		c.read(conn)
	}},
	{"leaves during its upload", func(c *client, _ context.Context, conn net.Conn) {
		contentType, body := form(map[string]string{"prompt": "x"}, make([]byte, c.Bytes))
		write(conn, c.head("/v1/generate", contentType, len(body)))
		write(conn, string(body[:c.r.IntN(len(body))]))
	}},
	{"leaves in the queue", func(c *client, ctx context.Context, conn net.Conn) {
		contentType, body := form(map[string]string{"prompt": "x", "size": "64x64", "steps": "1"}, Picture(64))
		write(conn, c.head("/v1/generate", contentType, len(body))+string(body))
		c.sleep(ctx, time.Duration(c.r.IntN(500))*time.Millisecond)
	}},
	{"leaves during its stream", func(c *client, ctx context.Context, conn net.Conn) {
		contentType, body := form(map[string]string{"prompt": "x", "size": "64x64", "steps": "1", "stream": "true"})
		write(conn, c.head("/v1/generate", contentType, len(body))+string(body))
		_ = conn.SetReadDeadline(time.Now().Add(c.Hold))
		_, _ = io.CopyN(io.Discard, conn, int64(100+c.r.IntN(400)))
	}},
	{"stream that is never read", func(c *client, ctx context.Context, conn net.Conn) {
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		body := `{"prompt": "x", "n": 3, "size": "64x64", "steps": 2, "stream": true, "partial_images": 3}`
		write(conn, c.head("/v1/images/generations", "application/json", len(body))+body)
		c.sleep(ctx, c.Hold)
	}},
	{"reply that is never read", func(c *client, ctx context.Context, conn net.Conn) {
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		const asks = `{"prompt": "x", "n": 2, "size": "64x64", "steps": 1}`
		write(conn, strings.Repeat(c.head("/v1/images/generations", "application/json", len(asks))+asks, 6))
		c.sleep(ctx, c.Hold)
	}},
	{"documents that are never read", func(c *client, ctx context.Context, conn net.Conn) {
		_ = conn.(*net.TCPConn).SetReadBuffer(4 << 10)
		get := strings.ReplaceAll(c.head("/openapi.json", "", 0), "POST", "GET")
		write(conn, strings.Repeat(get, 500)) // 20 MB of answers
		c.sleep(ctx, c.Hold)
	}},
	{"hostile picture", func(c *client, _ context.Context, conn net.Conn) {
		files := hostileFiles()
		name := slices.Sorted(maps.Keys(files))[c.r.IntN(len(files))]
		contentType, body := form(map[string]string{"prompt": "x", "size": "64x64", "steps": "1"}, files[name])
		write(conn, c.head("/v1/generate", contentType, len(body))+string(body))
		c.read(conn)
	}},
	{"hostile picture, and leaves", func(c *client, ctx context.Context, conn net.Conn) {
		contentType, body := form(map[string]string{"prompt": "x"}, hostileFiles()["many empty scans"])
		write(conn, c.head("/v1/generate", contentType, len(body))+string(body))
		c.sleep(ctx, time.Duration(c.r.IntN(300))*time.Millisecond)
	}},
	{"garbage", func(c *client, _ context.Context, conn net.Conn) {
		noise := make([]byte, 1+c.r.IntN(100_000))
		for i := range noise {
			noise[i] = byte(c.r.Uint32())
		}
		write(conn, string(noise))
		c.read(conn)
	}},
	{"huge header", func(c *client, _ context.Context, conn net.Conn) {
		lines := strings.Repeat("X-Long: "+strings.Repeat("x", 1000)+"\r\n", 1000)
		write(conn, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n"+lines+"\r\n")
		c.read(conn)
	}},
	{"header that never ends", func(c *client, ctx context.Context, conn net.Conn) {
		write(conn, "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n")
		for end := time.Now().Add(c.Hold); time.Now().Before(end) && ctx.Err() == nil && write(conn, "X: y\r\n"); {
			c.sleep(ctx, 100*time.Millisecond)
		}
	}},
	{"data URI bomb", func(c *client, _ context.Context, conn net.Conn) {
		uri := `"data:image/png;base64,` + base64.StdEncoding.EncodeToString(make([]byte, c.Bytes/4)) + `"`
		contentType, body := form(map[string]string{"prompt": "x", "image_uris": "[" + uri + "," + uri + "," + uri + "]"})
		write(conn, c.head("/v1/generate", contentType, len(body))+string(body))
		c.read(conn)
	}},
	{"address in the internal network", func(c *client, _ context.Context, conn net.Conn) {
		contentType, body := form(map[string]string{
			"prompt": "x", "image_uris": `["http://127.0.0.1:9/a.png", "http://[::1]:9/", "http://0x7f.1:9/"]`,
		})
		write(conn, c.head("/v1/generate", contentType, len(body))+string(body))
		c.read(conn)
	}},
	{"JSON bomb", func(c *client, _ context.Context, conn net.Conn) {
		body := `{"prompt": "x", "other": ` + strings.Repeat("[", 1<<20-50)
		if c.r.IntN(2) == 0 {
			body = `{"prompt": "` + strings.Repeat(`\u0041`, c.Bytes/6) + `"}`
		}
		write(conn, c.head("/v1/images/generations", "application/json", len(body))+body)
		c.read(conn)
	}},
	{"wrong token, large body", func(c *client, _ context.Context, conn net.Conn) {
		head := c.head("/v1/generate", "multipart/form-data; boundary=b", c.Bytes)
		write(conn, strings.ReplaceAll(head, "Bearer "+c.Token, "Bearer wrong"))
		write(conn, string(make([]byte, c.Bytes)))
		c.read(conn)
	}},
	{"wrong token, no body", func(c *client, _ context.Context, conn net.Conn) {
		head := c.head("/v1/generate", "multipart/form-data; boundary=b", 1000)
		write(conn, strings.ReplaceAll(head, "Bearer "+c.Token, "Bearer wrong"))
		c.read(conn)
	}},
	{"flood", func(c *client, ctx context.Context, conn net.Conn) {
		body := `{"prompt": "x", "size": "64x64", "steps": 1}`
		conns := []net.Conn{conn}
		for range 30 {
			if more, err := c.dial(ctx); err == nil {
				defer more.Close()
				conns = append(conns, more)
			}
		}
		for _, conn := range conns {
			write(conn, c.head("/v1/images/generations", "application/json", len(body))+body)
		}
		for _, conn := range conns[:len(conns)/2] {
			c.read(conn)
		}
	}},
	{"idle connections", func(c *client, ctx context.Context, _ net.Conn) {
		for range 30 {
			if more, err := c.dial(ctx); err == nil {
				defer more.Close()
			}
		}
		c.sleep(ctx, c.Hold)
	}},
}

// beRude connects and does one rude thing.
func (c *client) beRude(ctx context.Context) {
	conn, err := c.dial(ctx)
	if err != nil {
		return // the server may refuse rude clients; if it refuses polite ones, they report it
	}
	defer conn.Close()
	rude := rudenesses[c.turn%len(rudenesses)]
	if since := time.Since(c.begun); since%c.Together < c.Together/3 {
		rude = rudenesses[int(since/c.Together)%len(rudenesses)]
	} else {
		c.turn++
	}
	c.count.request(rude.name)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(3 * c.Hold))
	rude.do(c, ctx, conn)
}

// head returns the header of a POST request.
func (c *client) head(path, contentType string, length int) string {
	h := http.Header{}
	c.identify(h)
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n", path, length)
	_ = h.Write(&b) // writing to memory cannot fail
	b.WriteString("\r\n")
	return b.String()
}

// write reports whether the server accepted the text.
func write(conn net.Conn, text string) bool {
	_, err := io.WriteString(conn, text)
	return err == nil
}

// read counts one answer by its status and discards its body, up to 1 MiB.
func (c *client) read(conn net.Conn) {
	var head [12]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return
	}
	var status int
	if _, err := fmt.Sscanf(string(head[:]), "HTTP/1.1 %d", &status); err == nil {
		c.count.answer(status)
	}
	_, _ = io.CopyN(io.Discard, conn, 1<<20)
}
