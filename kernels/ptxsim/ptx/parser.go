package ptx

import (
	"fmt"
	"strconv"
	"strings"
)

// These limits bound the memory that a hostile text can make Parse allocate. A compiler's output is far below them.
const (
	maxRegisters    = 1 << 17
	maxVariableSize = 1 << 30
	maxNesting      = 64
)

// Parse parses a module. Every error is a *SyntaxError with a line of src.
func Parse(src string) (*Module, error) {
	tokens, err := lex(src)
	if err != nil {
		return nil, err
	}
	p := &parser{src: src, tokens: tokens, module: &Module{Files: map[int]string{}}, names: map[string]*Variable{}}
	if err := p.parseModule(); err != nil {
		return nil, err
	}
	return p.module, nil
}

// A parser parses the tokens of one module.
type parser struct {
	src    string
	tokens []token
	at     int // the index of the next token
	module *Module
	names  map[string]*Variable // of module scope
	loc    Position             // of the last .loc
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// accept consumes the next token if it is the word or mark text, and reports whether it was.
func (p *parser) accept(text string) bool {
	if t := p.peek(); t.text == text && (t.kind == tokenWord || t.kind == tokenMark) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(text string) error {
	if !p.accept(text) {
		return p.errorf("found %s, want %q", quote(p.peek().text), text)
	}
	return nil
}

func (p *parser) errorf(format string, args ...any) error {
	return &SyntaxError{p.peek().line, fmt.Sprintf(format, args...)}
}

func (p *parser) word(what string) (string, error) {
	t := p.peek()
	if t.kind != tokenWord {
		return "", p.errorf("found %s, want %s", quote(t.text), what)
	}
	p.next()
	return t.text, nil
}

// integer parses an unsigned number below 2³¹.
func (p *parser) integer() (int, error) {
	t := p.peek()
	v, err := strconv.ParseUint(t.text, 0, 31)
	if t.kind != tokenNumber || err != nil {
		return 0, p.errorf("found %s, want a number", quote(t.text))
	}
	p.next()
	return int(v), nil
}

// skipLine skips the rest of the given line.
func (p *parser) skipLine(line int) {
	for p.peek().line == line && p.peek().kind != tokenEnd {
		p.next()
	}
}

func (p *parser) parseModule() error {
	for {
		t := p.peek()
		if t.kind == tokenEnd {
			if p.module.Version == "" || p.module.Target == "" {
				return p.errorf("module without .version or .target")
			}
			return nil
		}
		var err error
		switch t.text {
		case ".version":
			p.next()
			p.module.Version = p.next().text
		case ".target":
			p.next()
			p.module.Target, err = p.word("a target")
			p.skipLine(t.line)
		case ".address_size":
			p.next()
			var n int
			if n, err = p.integer(); err == nil && n != 64 {
				err = p.errorf("address size %d, want 64", n)
			}
		case ".file":
			err = p.parseFile()
		case ".section":
			err = p.skipSection()
		case ".loc", ".pragma", "@@DWARF":
			p.skipLine(t.line)
		case ";":
			p.next()
		default:
			err = p.parseDeclaration()
		}
		if err != nil {
			return err
		}
	}
}

func (p *parser) parseFile() error {
	line := p.next().line
	n, err := p.integer()
	if err != nil {
		return err
	}
	if p.peek().kind != tokenString {
		return p.errorf("found %s, want a file name", quote(p.peek().text))
	}
	p.module.Files[n] = p.next().text
	p.skipLine(line)
	return nil
}

func (p *parser) skipSection() error {
	p.next()
	for depth := 0; ; {
		switch t := p.next(); {
		case t.kind == tokenEnd:
			return p.errorf("section without end")
		case t.text == "{":
			depth++
		case t.text == "}":
			if depth--; depth <= 0 {
				return nil
			}
		}
	}
}

// parseDeclaration parses a function or a variable of module scope, with its linkage.
func (p *parser) parseDeclaration() error {
	extern := false
	for {
		t := p.peek()
		switch t.text {
		case ".extern":
			extern = true
			p.next()
		case ".visible", ".weak", ".common":
			p.next()
		case ".entry", ".func":
			p.next()
			return p.parseFunction(t.text == ".entry")
		case ".global", ".const", ".shared":
			vars, err := p.parseVariables(extern)
			if err != nil {
				return err
			}
			for _, v := range vars {
				if p.names[v.Name] != nil {
					return p.errorf("%s declared twice", quote(v.Name))
				}
				p.names[v.Name] = v
				p.module.Variables = append(p.module.Variables, v)
			}
			return nil
		default:
			return p.errorf("%s at module scope is not supported", quote(t.text))
		}
	}
}

// parseVariables parses ".space .align n .type name[count] = init, …;".
func (p *parser) parseVariables(extern bool) ([]*Variable, error) {
	space := strings.TrimPrefix(p.next().text, ".")
	proto, err := p.parseVariableType(space)
	if err != nil {
		return nil, err
	}
	proto.Extern = extern
	var vars []*Variable
	for {
		v := proto
		if err := p.parseVariableName(&v); err != nil {
			return nil, err
		}
		vars = append(vars, &v)
		if p.accept("=") {
			if err := p.parseInit(&v); err != nil {
				return nil, err
			}
		}
		if p.accept(",") {
			continue
		}
		return vars, p.expect(";")
	}
}

// parseVariableType parses the attributes ".align n" and ".ptr …" and the type.
func (p *parser) parseVariableType(space string) (Variable, error) {
	v := Variable{Space: space, Line: p.peek().line}
	vector := 1
	for {
		t := p.peek()
		if t.kind != tokenWord || t.text[0] != '.' {
			break
		}
		p.next()
		switch t.text {
		case ".align":
			n, err := p.integer()
			if err != nil {
				return v, err
			}
			if n == 0 || n&(n-1) != 0 || n > 1<<16 {
				return v, p.errorf("alignment %d, want a power of two", n)
			}
			v.Align = max(v.Align, n)
		case ".ptr":
			// The space and the alignment of the memory that the parameter points to.
			for {
				a := p.peek()
				if a.text == ".align" {
					p.next()
					if _, err := p.integer(); err != nil {
						return v, err
					}
				} else if a.text == ".global" || a.text == ".shared" || a.text == ".const" || a.text == ".local" {
					p.next()
				} else {
					break
				}
			}
		case ".v2":
			vector = 2
		case ".v4":
			vector = 4
		default:
			if v.Type = t.text[1:]; TypeBytes(v.Type) == 0 {
				return v, &SyntaxError{t.line, "type " + quote(t.text) + " of a variable"}
			}
		}
	}
	if v.Type == "" {
		return v, p.errorf("found %s, want a type", quote(p.peek().text))
	}
	v.Count = vector
	v.Align = max(v.Align, TypeBytes(v.Type)*vector)
	return v, nil
}

// parseVariableName parses the name and the array dimensions.
func (p *parser) parseVariableName(v *Variable) error {
	var err error
	if v.Name, err = p.word("a name"); err != nil {
		return err
	}
	for p.accept("[") {
		if p.accept("]") {
			if v.Count = 0; !v.Extern && p.peek().text != "=" {
				return p.errorf("array %s without a size", quote(v.Name))
			}
			continue
		}
		n, err := p.integer()
		if err != nil {
			return err
		}
		if n > maxVariableSize || v.Count*n > maxVariableSize {
			return p.errorf("variable %s of more than %d elements", quote(v.Name), maxVariableSize)
		}
		v.Count *= n
		if err := p.expect("]"); err != nil {
			return err
		}
	}
	return nil
}

func (p *parser) parseInit(v *Variable) error {
	nested := p.accept("{")
	for depth := 1; ; {
		if nested && p.accept("{") {
			if depth++; depth > maxNesting {
				return p.errorf("initialiser nested too deeply")
			}
			continue
		}
		if nested && p.accept("}") {
			if depth--; depth == 0 {
				break
			}
			p.accept(",")
			continue
		}
		item, err := p.parseInitItem()
		if err != nil {
			return err
		}
		v.Init = append(v.Init, item)
		if !nested {
			break
		}
		if !p.accept(",") && p.peek().text != "}" {
			return p.errorf("found %s, want , or }", quote(p.peek().text))
		}
	}
	if v.Count == 0 {
		v.Count = len(v.Init)
	}
	if len(v.Init) > v.Count {
		return p.errorf("%s has %d elements and %d initialisers", quote(v.Name), v.Count, len(v.Init))
	}
	return nil
}

// parseInitItem parses a number, or an address: name+offset or generic(name)+offset.
func (p *parser) parseInitItem() (Operand, error) {
	if t := p.peek(); t.kind != tokenWord {
		return p.parseNumber()
	}
	name, err := p.word("a name")
	if err != nil {
		return Operand{}, err
	}
	if name == "generic" && p.accept("(") {
		if name, err = p.word("a name"); err != nil {
			return Operand{}, err
		}
		if err := p.expect(")"); err != nil {
			return Operand{}, err
		}
	}
	target := p.names[name]
	if target == nil {
		return Operand{}, p.errorf("initialiser refers to %s, which is not declared before", quote(name))
	}
	o := Operand{Kind: SymbolOperand, Variable: target}
	o.Offset, err = p.parseOffset()
	return o, err
}

// parseNumber parses an immediate with its sign: an integer, or a float as the hexadecimal bits 0f… or 0d….
func (p *parser) parseNumber() (Operand, error) {
	negative := p.accept("-")
	t := p.peek()
	o := Operand{Kind: ImmediateOperand}
	if t.kind != tokenNumber {
		return o, p.errorf("found %s, want a number", quote(t.text))
	}
	text := strings.TrimRight(t.text, "U")
	var err error
	switch {
	case strings.HasPrefix(text, "0f") || strings.HasPrefix(text, "0F"):
		o.Float = 32
		o.Value, err = strconv.ParseUint(text[2:], 16, 32)
	case strings.HasPrefix(text, "0d") || strings.HasPrefix(text, "0D"):
		o.Float = 64
		o.Value, err = strconv.ParseUint(text[2:], 16, 64)
	case strings.Contains(text, "."):
		err = strconv.ErrSyntax // a decimal float, which no compiler writes
	default:
		o.Value, err = strconv.ParseUint(text, 0, 64)
	}
	if err != nil {
		return o, p.errorf("number %s is not supported", quote(t.text))
	}
	p.next()
	if negative {
		switch o.Float {
		case 0:
			o.Value = -o.Value
		default:
			o.Value ^= 1 << (o.Float - 1)
		}
	}
	return o, nil
}

// parseOffset parses any number of "+n" and "-n" after the base of an address.
func (p *parser) parseOffset() (int64, error) {
	var sum int64
	for {
		switch {
		case p.accept("+"):
		case p.peek().text == "-" && p.peek().kind == tokenMark:
		default:
			return sum, nil
		}
		n, err := p.parseNumber()
		if err != nil {
			return 0, err
		}
		sum += int64(n.Value)
	}
}
