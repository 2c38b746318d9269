package picture

// LoRAFile names an adapter that a picture was made with.
type LoRAFile struct {
	Name     string  `json:"name"`   // without a folder
	SHA256   string  `json:"sha256"` // of the file
	Strength float64 `json:"strength"`
}
