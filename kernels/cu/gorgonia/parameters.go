//go:build gorgonia && cgo

package gorgonia

import (
	"bytes"
	"strconv"
	"strings"
)

// parameter says where one parameter of a kernel lies among all of them, packed.
type parameter struct{ at, bytes int }

// plain says whether Function.Launch of gorgonia.org/cu can pass all parameters: it copies 8 bytes for each.
func plain(all []parameter) bool {
	for _, p := range all {
		if p.bytes > 8 {
			return false
		}
	}
	return true
}

// parameters reads the parameters of a kernel from its declaration in PTX:
//
//	.visible .entry name(
//		.param .u64 .ptr .align 1 name_param_0,
//		.param .align 8 .b8 name_param_1[16]
//	)
//
// ok is false if there is no such kernel, or if the declaration is of another form.
func parameters(ptx []byte, name string) (all []parameter, ok bool) {
	for {
		_, rest, found := bytes.Cut(ptx, []byte(".entry"))
		if !found {
			return nil, false
		}
		ptx = rest
		head, body, found := bytes.Cut(rest, []byte("("))
		if i := bytes.IndexByte(head, '{'); found && i < 0 {
			if string(bytes.TrimSpace(head)) != name {
				continue
			}
			list, _, closed := bytes.Cut(body, []byte(")"))
			return parseParameters(string(list), closed)
		} else if i >= 0 && string(bytes.TrimSpace(head[:i])) == name {
			return nil, true // a kernel without parentheses
		}
	}
}

func parseParameters(list string, closed bool) (all []parameter, ok bool) {
	if strings.TrimSpace(list) == "" {
		return nil, closed
	}
	end := 0
	for one := range strings.SplitSeq(list, ",") {
		word := strings.Fields(one)
		if len(word) < 3 || word[0] != ".param" {
			return nil, false
		}
		word = word[1:]
		align := 0
		if word[0] == ".align" && len(word) > 2 {
			if align, _ = strconv.Atoi(word[1]); align < 1 {
				return nil, false
			}
			word = word[2:]
		}
		size := typeBytes(word[0])
		if align == 0 {
			align = size
		}
		if _, count, isArray := strings.Cut(word[len(word)-1], "["); isArray {
			n, err := strconv.Atoi(strings.TrimSuffix(count, "]"))
			if err != nil {
				return nil, false
			}
			size *= n
		}
		if size < 1 {
			return nil, false
		}
		end = (end + align - 1) / align * align
		all = append(all, parameter{end, size})
		end += size
	}
	return all, closed
}

// typeBytes is the size of a PTX type: 8 for ".u64". It is 0 for what is no type.
func typeBytes(t string) int {
	if len(t) < 3 || t[0] != '.' || !strings.ContainsRune("usfb", rune(t[1])) {
		return 0
	}
	bits, err := strconv.Atoi(t[2:])
	if err != nil || bits%8 != 0 {
		return 0
	}
	return bits / 8
}
