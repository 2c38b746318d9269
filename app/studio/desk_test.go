package studio

import (
	"reflect"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestSameSeesAllFields changes each field of a desk. A field that Same does not compare would be lost by undo, and one
// that WithTexts forgets or takes beyond the texts would be changed by the undo of something else.
func TestSameSeesAllFields(t *testing.T) {
	plain := Desk{Count: 1}
	fields := reflect.VisibleFields(reflect.TypeFor[Desk]())
	edit, _ := reflect.TypeFor[Desk]().FieldByName("Edit")
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Edit]()) {
		field.Index = append(edit.Index, field.Index...)
		fields = append(fields, field)
	}
	for _, field := range fields {
		changed := plain
		switch v := reflect.ValueOf(&changed).Elem().FieldByIndex(field.Index); field.Name {
		case "Edit": // its fields follow
			continue
		case "Mask":
			changed.Edit.Mask = Mask{Path: "a.png"}
		case "Slots":
			changed.Slots = []Slot{{Path: "a.png"}}
		case "Each":
			changed.Each = []string{"a.png", "b.png"}
		case "Board":
			changed.Board = &Board{}
		case "LoRAs":
			changed.LoRAs = []LoRA{{Name: "ink"}}
		case "Size":
			changed.Size = picture.Size{Width: 64, Height: 64}
		default:
			switch v.Kind() {
			case reflect.String:
				v.SetString("7")
			case reflect.Int:
				v.SetInt(7)
			case reflect.Bool:
				v.SetBool(true)
			case reflect.Float64:
				v.SetFloat(0.5)
			default:
				t.Fatalf("%s: the test has no other value of a %s", field.Name, v.Kind())
			}
		}
		if changed.Same(plain) {
			t.Errorf("%s: Same does not see that it has changed", field.Name)
		}
		if changed.SameTexts(plain) == changed.SameChoices(plain) {
			t.Errorf("%s: want it in one of SameTexts and SameChoices", field.Name)
		}
		if mixed := plain.WithTexts(changed); !mixed.SameTexts(changed) || !mixed.SameChoices(plain) {
			t.Errorf("%s: WithTexts does not take the texts alone: %+v", field.Name, mixed)
		}
	}
}
