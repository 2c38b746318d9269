package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"

	"kleinbild/atomicfile"
	"kleinbild/inference/picture"
)

// settings are the user's lasting choices.
type settings struct {
	// Model is used where neither --model nor $KLEINBILD_MODEL names one.
	Model string `json:"model"`
	// ModelBytes are those of a path that is not UTF-8.
	ModelBytes []byte `json:"model_base64,omitempty"`
}

// settingsFile is kleinbild/settings.json in the user's configuration folder.
func settingsFile() string { return filepath.Join(xdg.ConfigHome, "kleinbild", "settings.json") }

// HistoryFile is where the window keeps its history, and every face where reference pictures lie.
func HistoryFile() string { return filepath.Join(xdg.DataHome, "kleinbild", "history.db") }

// ModelSetting is the model that the user's settings name, "" for none.
func ModelSetting() (string, error) {
	s, err := readSettings()
	return s.Model, err
}

// SetModelSetting makes spec the model of the user's settings. The file is replaced in one step.
func SetModelSetting(spec string) error {
	text, err := json.MarshalIndent(settings{Model: spec, ModelBytes: picture.PathBytes(spec)}, "", "  ")
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

// maxSettingsBytes bounds the settings' file: a path has 4 KiB at most, and JSON may take six characters for one.
const maxSettingsBytes = 64 << 10

// readSettings returns the zero value where there is no file, or an empty one, as a full disk once left.
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
