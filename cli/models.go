package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/models"
)

type modelsCommand struct {
	List   modelsList   `cmd:"" help:"Show the models that can be downloaded, and those on this machine."`
	Get    modelsGet    `cmd:"" help:"Download a model. An interrupted download is resumed."`
	Verify modelsVerify `cmd:"" help:"Compare every file of a model with its digest."`
	Path   modelsPath   `cmd:"" help:"Print the path of a model; without a name, of the model that is used."`
	Rm     modelsRemove `cmd:"" help:"Delete a downloaded model, or an incomplete download."`

	Convert modelsConvert `cmd:"" help:"Write a model's transformer or text encoder with quantised weights."`
}

// modelRow is what list --json prints for each model.
type modelRow struct {
	Name       string `json:"name"`
	Title      string `json:"title,omitempty"`
	Licence    string `json:"licence,omitempty"`
	LicenceURL string `json:"licence_url,omitempty"`
	SizeBytes  int64  `json:"size_bytes"`
	// MemoryBytes is what a picture of a megapixel takes of the graphics card's memory, or of the computer's if there is
	// no card. Fits says whether that is there.
	MemoryBytes int64               `json:"memory_bytes"`
	Fits        bool                `json:"fits"`
	Quality     inference.Closeness `json:"quality"`
	Weights     string              `json:"weights,omitempty"`     // the formats of the transformer and the text encoder
	Why         string              `json:"why,omitempty"`         // how its files were chosen
	Path        string              `json:"path,omitempty"`        // the path on this machine, "" if the model is not here
	PathBytes   []byte              `json:"path_base64,omitempty"` // the path's bytes, if it is not UTF-8
}

type modelsList struct {
	JSON bool `name:"json" help:"Print JSON."`
}

func (c modelsList) Run(ctx context.Context, s Streams) error {
	here, skipped, err := models.Look(inference.WithRoomOn(ctx, inference.DeviceAuto), "", os.Getenv)
	if err != nil {
		return err
	}
	for _, p := range skipped {
		fmt.Fprintf(s.Err, "skipped: %s: %s\n", p.Where, p.Reason)
	}
	room := inference.RoomOn(inference.DeviceAuto)
	var rows []modelRow
	known := map[string]bool{}
	for _, m := range models.Catalogue() {
		row := modelRow{
			Name: m.Name, Title: m.Title, Licence: m.Licence.Name, LicenceURL: m.Licence.URL, SizeBytes: m.SizeBytes,
			MemoryBytes: room.Of(m.Need), Fits: room.Fits(m.Need), Quality: m.Quality,
		}
		for _, i := range here {
			if i.Own && i.Name == m.Name {
				row.Path = i.Path
				known[i.Path] = true
			}
		}
		rows = append(rows, row)
	}
	for _, i := range here {
		if !known[i.Path] {
			title := ""
			if i.KV {
				title = "found on this machine: references computed once"
			}
			rows = append(rows, modelRow{
				Name: i.Name, Title: title, SizeBytes: i.Size, MemoryBytes: room.Of(i.Need), Fits: i.Size > 0 && room.Fits(i.Need),
				Quality: i.Quality, Weights: i.Weights, Why: i.Why, Path: i.Path,
			})
		}
	}
	for _, m := range models.Extras() {
		row := modelRow{
			Name: m.Name, Title: m.Title, Licence: m.Licence.Name, LicenceURL: m.Licence.URL, SizeBytes: m.SizeBytes,
			Fits: true,
		}
		if path, err := models.Path("", m.Name); err == nil {
			row.Path = path
		}
		rows = append(rows, row)
	}
	if c.JSON {
		for i := range rows {
			rows[i].PathBytes = picture.PathBytes(rows[i].Path)
		}
		return writeJSON(s.Out, rows, "  ")
	}
	var table [][]string
	for _, r := range rows {
		where := r.Path
		if where == "" {
			where = "-"
		}
		title := r.Title
		if title == "" {
			title = "found on this machine"
		}
		memory := fmt.Sprintf("needs %.1f GB", float64(r.MemoryBytes)/1e9)
		if !r.Fits {
			memory += " (too much)"
		}
		if r.Quality == "" { // it cannot be opened
			memory = "-"
		}
		table = append(table, []string{
			r.Name, title, downloadSize(r.SizeBytes), memory, cmp.Or(string(r.Quality), "-"),
			cmp.Or(r.Licence, "-"), where,
		})
	}
	if room.Bytes > 0 {
		fmt.Fprintf(s.Err, "what a model needs is compared with %v\n", room)
	}
	return printTable(s.Out, table)
}

// downloadSize formats the size of a download in MB or GB.
func downloadSize(bytes int64) string {
	if bytes < 1e8 {
		return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
}

type modelsGet struct {
	Name          string `arg:"" default:"flux2-klein-4b" help:"A name that list shows."`
	AcceptLicence bool   `help:"Accept the model's licence without being asked."`
	BaseURL       string `name:"base-url" env:"HF_ENDPOINT" placeholder:"URL" help:"${base_url_help}"`
	Jobs          int    `short:"j" default:"4" placeholder:"N" help:"How many files to download at once, 1 to 16."`
}

func (c modelsGet) Run(ctx context.Context, s Streams) error {
	if c.Jobs < 1 || c.Jobs > 16 {
		return usagef("--jobs %d, want 1 to 16", c.Jobs)
	}
	m, err := models.Find(c.Name)
	if err != nil {
		return usageError{err}
	}
	fmt.Fprintf(s.Err, "%s: %s, %s, licence: %s (%s)\n",
		m.Name, m.Title, downloadSize(m.SizeBytes), m.Licence.Name, m.Licence.URL)
	if !m.Extra() {
		fmt.Fprintf(s.Err, "quality: %s; %s\n", m.Quality, inference.RoomOn(inference.DeviceAuto).Words(m.Need))
	}
	accepted := c.AcceptLicence
	if m.Licence.Ask && !accepted {
		accepted, err = confirm(s, "This model is for non-commercial use only. Do you agree to its licence? Type yes: ")
		if err != nil {
			return err
		}
	}
	display := newTransfer(s.Err, m.Name)
	dir, err := models.Get(ctx, m, models.Options{
		BaseURL: c.BaseURL, Token: os.Getenv("HF_TOKEN"), Parallel: c.Jobs, LicenceAccepted: accepted,
		Progress: display.update,
	})
	display.finish()
	var licence *models.LicenceError
	switch {
	case errors.As(err, &licence):
		return fmt.Errorf("%w: type yes, or give --accept-licence", err)
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(s.Err, "the downloaded part is kept; the same command resumes the download")
		return err
	case err != nil:
		return err
	}
	return s.result(dir)
}

// confirm asks a question and returns whether the answer is yes.
func confirm(s Streams, question string) (bool, error) {
	fmt.Fprint(s.Err, question)
	line, err := bufio.NewReader(io.LimitReader(s.In, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return strings.EqualFold(strings.TrimSpace(line), "yes"), nil
}

type modelsVerify struct {
	Name string `arg:"" optional:"" help:"A name that list shows. Default: the model that is used."`
}

func (c modelsVerify) Run(ctx context.Context, s Streams) error {
	path, err := modelPath(ctx, c.Name)
	if err != nil {
		return err
	}
	display := newTransfer(s.Err, "verify")
	damaged, err := models.Verify(ctx, path, display.update)
	display.finish()
	if err != nil {
		return err
	}
	for _, d := range damaged {
		fmt.Fprintf(s.Err, "%s: %s\n", d.File, d.Err)
	}
	if len(damaged) > 0 {
		return fmt.Errorf("%s: %d damaged files; remove the model with models rm and get it again", path, len(damaged))
	}
	return s.result(path)
}

type modelsPath struct {
	Name string `arg:"" optional:"" help:"A name that list shows."`
}

func (c modelsPath) Run(ctx context.Context, s Streams) error {
	path, err := modelPath(ctx, c.Name)
	if err != nil {
		return err
	}
	return s.result(path)
}

// modelPath returns the path of the model with a name. If name is "", it returns the model that commands without
// --model use.
func modelPath(ctx context.Context, name string) (string, error) {
	if name != "" {
		path, err := models.Path("", name)
		if err != nil { // list also shows models that lie elsewhere
			if elsewhere, otherErr := inference.FindModel(ctx, inference.Options{Model: name}); otherErr == nil {
				return elsewhere, nil
			}
		}
		return path, err
	}
	user, err := readSettings()
	if err != nil {
		return "", err
	}
	return inference.FindModel(ctx, inference.Options{Setting: user.Model})
}

type modelsRemove struct {
	Name string `arg:"" help:"A name that list shows."`
}

func (c modelsRemove) Run() error { return models.Remove("", c.Name) }

// transfer shows the progress of a download, a verification or a conversion: a bar if w is a terminal, otherwise a
// line every lineEvery.
type transfer struct {
	w     io.Writer
	title string
	bar   *progressbar.ProgressBar
	last  time.Time
}

// lineEvery is the time between two lines of progress if the output is not a terminal.
const lineEvery = 10 * time.Second

func newTransfer(w io.Writer, title string) *transfer {
	t := &transfer{w: w, title: title, last: time.Now()}
	if isTerminal(w) {
		t.bar = progressbar.NewOptions(barUnits,
			progressbar.OptionSetWriter(unwrap(w)),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetWidth(20),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	return t
}

func (t *transfer) update(p models.Progress) {
	text := fmt.Sprintf("%s: %.2f of %.2f GB", t.title, float64(p.DoneBytes)/1e9, float64(p.TotalBytes)/1e9)
	if p.Rate > 0 {
		text += fmt.Sprintf(", %.1f MB/s, %s left", p.Rate/1e6, p.Remaining.Round(time.Second))
	}
	if p.Problem != "" {
		if t.bar != nil {
			_ = t.bar.Clear()
		}
		fmt.Fprintf(t.w, "trying again: %s\n", p.Problem)
	}
	t.show(text, float64(p.DoneBytes)/float64(max(p.TotalBytes, 1)))
}

// show shows a text, and fraction of the bar.
func (t *transfer) show(text string, fraction float64) {
	if t.bar != nil {
		t.bar.Describe(text)
		_ = t.bar.Set(int(fraction * barUnits))
		return
	}
	if time.Since(t.last) >= lineEvery {
		fmt.Fprintln(t.w, text)
		t.last = time.Now()
	}
}

func (t *transfer) finish() {
	if t.bar != nil {
		_ = t.bar.Finish()
	}
}
