package main

import "testing"

func TestReplaceSection(t *testing.T) {
	const end = "<!-- end of machine -->\n"
	section := func(machine, text string) string {
		return "<!-- machine: " + machine + " -->\n\n## " + machine + "\n\n" + text + "\n\n" + end
	}
	for _, c := range []struct{ name, page, want string }{
		{"an empty page", "", section("A", "new")},
		{"a page without sections", "# Speed\n", "# Speed\n\n" + section("A", "new")},
		{"the only section", "# Speed\n\n" + section("A", "old") + "\nTail\n",
			"# Speed\n\n" + section("A", "new") + "\nTail\n"},
		{"before another machine", section("A", "old") + "\n" + section("B", "b"),
			section("A", "new") + "\n" + section("B", "b")},
		{"after another machine", section("B", "b") + "\n" + section("A", "old"),
			section("B", "b") + "\n" + section("A", "new")},
		{"another machine alone", section("B", "b"), section("B", "b") + "\n" + section("A", "new")},
		{"no end before another machine", "<!-- machine: A -->\nold\n" + section("B", "b"),
			section("A", "new") + section("B", "b")},
		{"no end at all", "<!-- machine: A -->\nold\n", section("A", "new")},
	} {
		if got := string(replaceSection([]byte(c.page), "A", []byte("\nnew\n"))); got != c.want {
			t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}
