package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// settings are the user's settings that are kept in a file.
type settings struct {
	// Model is the model that is used if neither --model nor $KLEINBILD_MODEL names one.
	Model string `json:"model"`
	// ModelBytes are the bytes of Model if it is a path that is not UTF-8.
	ModelBytes []byte `json:"model_base64,omitempty"`
	// Server is another computer whose engine the window uses, or has used last; nil for none. Its token is in a file of
	// its own.
	Server *serverSetting `json:"server,omitempty"`
}

type serverSetting struct {
	Address  string `json:"address"`
	CA       string `json:"ca,omitempty"`
	Insecure bool   `json:"insecure,omitempty"`
	Use      bool   `json:"use"`
}

// settingsFile returns the path of kleinbild/settings.json in the user's configuration folder.
func settingsFile() string { return filepath.Join(xdg.ConfigHome, "kleinbild", "settings.json") }

// HistoryFile returns the path of the history: the window's pictures, and the paths of reference pictures, which
// generate also reads and adds.
func HistoryFile() string { return filepath.Join(xdg.DataHome, "kleinbild", "history.db") }

// ModelSetting returns the model that the user's settings name, "" if they name none.
func ModelSetting() (string, error) {
	s, err := readSettings()
	return s.Model, err
}

// SetModelSetting makes spec the model of the user's settings.
func SetModelSetting(spec string) error {
	return changeSettings(func(s *settings) { s.Model, s.ModelBytes = spec, picture.PathBytes(spec) })
}

// changeSettings changes the user's settings. The file is replaced in one step.
func changeSettings(change func(*settings)) error {
	s, err := readSettings()
	if err != nil {
		s = settings{} // damaged settings would otherwise stay for ever
	}
	change(&s)
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	path := settingsFile()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	if err := atomicfile.Write(path, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("settings: %s: %w", path, err)
	}
	return nil
}

// maxSettingsBytes bounds the file of settings: a path has at most 4 KiB, and JSON may take six bytes for one of its
// bytes.
const maxSettingsBytes = 64 << 10

// readSettings returns the user's settings. It returns the zero value if the file does not exist, or is empty: an
// earlier version could leave an empty file on a full disk.
func readSettings() (settings, error) {
	var s settings
	text, err := atomicfile.Read(settingsFile(), maxSettingsBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return s, fmt.Errorf("settings: %w", err)
	}
	if len(text) == 0 {
		return s, nil
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return s, fmt.Errorf("settings: %s: %w, want {\"model\": PATH}", settingsFile(), err)
	}
	if len(s.ModelBytes) > 0 {
		s.Model = string(s.ModelBytes)
	}
	return s, nil
}
