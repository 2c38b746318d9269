package ptx

import (
	"strconv"
	"strings"
)

// A scope is the part of a body between two braces. Inline assembly opens scopes, so that a function can have several
// registers, variables or labels with the same name.
type scope struct {
	parent    *scope
	registers map[string]int
	families  map[string]family // by prefix: ".reg .b32 %r<9>" is family "%r"
	variables map[string]*Variable
	labels    map[string]int
	tables    map[string][]string // .branchtargets
	uses      []labelUse
}

// A family is a range of registers with one prefix: the index of the first one, and their number.
type family struct{ first, count int }

// A labelUse is an operand that may name a label of this scope or of one around it.
type labelUse struct {
	name        string
	instruction int
	operand     int
	line        int
}

func newScope(parent *scope) *scope {
	return &scope{parent: parent, registers: map[string]int{}, families: map[string]family{},
		variables: map[string]*Variable{}, labels: map[string]int{}, tables: map[string][]string{}}
}

// register returns the index of the register called name in this scope or in one around it.
func (s *scope) register(name string) (int, bool) {
	digits := len(name)
	for digits > 0 && isDigit(name[digits-1]) {
		digits--
	}
	n, err := strconv.Atoi(name[digits:])
	for ; s != nil; s = s.parent {
		if r, ok := s.registers[name]; ok {
			return r, true
		}
		f, ok := s.families[name[:digits]]
		if ok && err == nil && n < f.count && (name[digits] != '0' || n == 0 && len(name) == digits+1) {
			return f.first + n, true
		}
	}
	return 0, false
}

func (s *scope) variable(name string) *Variable {
	for ; s != nil; s = s.parent {
		if v := s.variables[name]; v != nil {
			return v
		}
	}
	return nil
}

func (p *parser) parseFunction(entry bool) error {
	f := &Function{Entry: entry, Line: p.peek().line}
	var err error
	if !entry && p.peek().text == "(" {
		if f.Returns, err = p.parseParams(); err != nil {
			return err
		}
	}
	if f.Name, err = p.word("a function's name"); err != nil {
		return err
	}
	if p.peek().text == "(" {
		if f.Params, err = p.parseParams(); err != nil {
			return err
		}
	}
	for {
		t := p.peek()
		switch t.text {
		case ".maxntid", ".reqntid":
			p.next()
			to := &f.MaxThreads
			if t.text == ".reqntid" {
				to = &f.ReqThreads
			}
			*to = [3]int{1, 1, 1}
			for i := range to {
				if to[i], err = p.integer(); err != nil {
					return err
				}
				if !p.accept(",") {
					break
				}
			}
			continue
		case ".minnctapersm", ".maxnctapersm", ".maxnreg", ".maxclusterrank":
			p.next()
			n, err := p.integer()
			if err != nil {
				return err
			}
			if t.text == ".minnctapersm" {
				f.MinBlocks = n
			}
			continue
		case ".noreturn", ".explicitcluster":
			p.next()
			continue
		case ";":
			p.next()
		case "{":
			p.next()
			f.Defined = true
			if old := p.module.Function(f.Name); old != nil && old.Defined {
				return p.errorf("function %s defined twice", quote(f.Name))
			}
			b := &body{parser: p, function: f, scope: newScope(nil)}
			for _, v := range append(f.Returns, f.Params...) {
				b.scope.variables[v.Name] = v
			}
			p.loc = Position{}
			if err := b.parse(); err != nil {
				return err
			}
		default:
			return p.errorf("%s in the head of function %s", quote(t.text), f.Name)
		}
		p.module.Functions = append(p.module.Functions, f)
		return nil
	}
}

func (p *parser) parseParams() ([]*Variable, error) {
	p.next()
	var params []*Variable
	for !p.accept(")") {
		if t := p.peek(); t.text != ".param" {
			return nil, p.errorf("found %s, want .param", quote(t.text))
		}
		p.next()
		v, err := p.parseVariableType("param")
		if err != nil {
			return nil, err
		}
		if err := p.parseVariableName(&v); err != nil {
			return nil, err
		}
		params = append(params, &v)
		if !p.accept(",") && p.peek().text != ")" {
			return nil, p.errorf("found %s, want , or )", quote(p.peek().text))
		}
	}
	return params, nil
}

// A body parses the statements of one function.
type body struct {
	*parser
	function *Function
	scope    *scope
	depth    int
}

func (b *body) parse() error {
	for {
		t := b.peek()
		var err error
		switch {
		case t.kind == tokenEnd:
			return b.errorf("function %s: found the end of the text, want }", quote(b.function.Name))
		case t.text == "}":
			b.next()
			if err := b.closeScope(); err != nil || b.scope == nil {
				return err
			}
		case t.text == "{":
			b.next()
			if b.depth++; b.depth > maxNesting {
				return b.errorf("scopes nested too deeply")
			}
			b.scope = newScope(b.scope)
		case t.text == ";":
			b.next()
		case t.text == ".reg":
			err = b.parseRegisters()
		case t.text == ".shared" || t.text == ".local" || t.text == ".param" || t.text == ".global" || t.text == ".const":
			err = b.parseLocalVariables()
		case t.text == ".loc":
			err = b.parseLoc()
		case t.text == ".pragma" || t.text == ".file":
			if t.text == ".file" {
				err = b.parseFile()
			} else {
				b.skipLine(t.line)
			}
		case t.kind == tokenWord && b.tokens[b.at+1].text == ":":
			err = b.parseLabel()
		default:
			err = b.parseInstruction()
		}
		if err != nil {
			return err
		}
	}
}

// closeScope resolves the names that the scope's labels and tables declare, and passes the others to the scope around
// it.
func (b *body) closeScope() error {
	s := b.scope
	for _, u := range s.uses {
		o := &b.function.Instructions[u.instruction].Operands[u.operand]
		if at, ok := s.labels[u.name]; ok {
			o.Kind, o.Target = LabelOperand, at
		} else if names, ok := s.tables[u.name]; ok {
			o.Kind = TableOperand
			for _, name := range names {
				at, ok := s.labels[name]
				if !ok {
					return &SyntaxError{u.line, "branch target " + quote(name) + " is not a label"}
				}
				o.Targets = append(o.Targets, at)
			}
		} else if s.parent != nil {
			s.parent.uses = append(s.parent.uses, u)
		} else if b.module.Function(u.name) != nil || u.name == b.function.Name {
			o.Kind, o.Name = FunctionOperand, u.name
		} else {
			return &SyntaxError{u.line, quote(u.name) + " is not declared"}
		}
	}
	b.scope = s.parent
	b.depth--
	return nil
}

func (b *body) parseRegisters() error {
	b.next()
	typ, err := b.word("a register type")
	if err != nil {
		return err
	}
	typ = strings.TrimPrefix(typ, ".")
	if size := TypeBytes(typ); typ != "pred" && (size == 0 || size > 8) {
		return b.errorf("register type %s is not supported", quote(typ))
	}
	for {
		name, err := b.word("a register")
		if err != nil {
			return err
		}
		f := family{first: len(b.function.Registers), count: 1}
		if b.accept("<") {
			if f.count, err = b.integer(); err != nil {
				return err
			}
			if err := b.expect(">"); err != nil {
				return err
			}
			if f.count > maxRegisters-f.first {
				return b.errorf("more than %d registers", maxRegisters)
			}
			b.scope.families[name] = f
			for i := range f.count {
				b.function.Registers = append(b.function.Registers, Register{name + strconv.Itoa(i), typ})
			}
		} else {
			if f.first >= maxRegisters {
				return b.errorf("more than %d registers", maxRegisters)
			}
			if _, ok := b.scope.registers[name]; ok {
				return b.errorf("register %s declared twice", quote(name))
			}
			b.scope.registers[name] = f.first
			b.function.Registers = append(b.function.Registers, Register{name, typ})
		}
		if !b.accept(",") {
			return b.expect(";")
		}
	}
}

func (b *body) parseLocalVariables() error {
	vars, err := b.parseVariables(false)
	if err != nil {
		return err
	}
	for _, v := range vars {
		if b.scope.variables[v.Name] != nil {
			return b.errorf("%s declared twice", quote(v.Name))
		}
		b.scope.variables[v.Name] = v
		if v.Space == "global" || v.Space == "const" {
			b.module.Variables = append(b.module.Variables, v)
		} else {
			b.function.Variables = append(b.function.Variables, v)
		}
	}
	return nil
}

// parseLoc parses ".loc file line column". Line 0 marks code without a source line, which keeps the position before it.
func (b *body) parseLoc() error {
	line := b.next().line
	file, err := b.integer()
	if err != nil {
		return err
	}
	n, err := b.integer()
	if err != nil {
		return err
	}
	end := b.tokens[b.at-1].end
	if n > 0 {
		text, _, _ := strings.Cut(b.src[end:], "\n")
		b.loc = Position{file, n, inlinedAt(text)}
	}
	b.skipLine(line)
	return nil
}

// inlinedAt returns the file and line of the outermost call in a comment of clang: "b.cu:5" for
// "// h.h:1:2 @[ a.cu:3:4 @[ b.cu:5:6 ] ]".
func inlinedAt(comment string) string {
	_, call, ok := cutLast(comment, "@[ ")
	if !ok {
		return ""
	}
	place, _, _ := strings.Cut(call, " ")
	place, _, ok = cutLast(place, ":")
	if !ok {
		return ""
	}
	return place
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (b *body) parseLabel() error {
	name := b.next().text
	b.next()
	if b.peek().text == ".branchtargets" {
		b.next()
		var targets []string
		for {
			target, err := b.word("a label")
			if err != nil {
				return err
			}
			targets = append(targets, target)
			if !b.accept(",") {
				break
			}
		}
		b.scope.tables[name] = targets
		return b.expect(";")
	}
	if strings.HasPrefix(b.peek().text, ".call") {
		return b.errorf("indirect calls (%s) are not supported", b.peek().text)
	}
	if _, ok := b.scope.labels[name]; ok {
		return b.errorf("label %s defined twice", quote(name))
	}
	b.scope.labels[name] = len(b.function.Instructions)
	return nil
}

func (b *body) parseInstruction() error {
	start := b.peek()
	in := Instruction{Guard: -1, Line: start.line, Source: b.loc}
	if b.accept("@") {
		in.GuardNot = b.accept("!")
		name, err := b.word("a predicate")
		if err != nil {
			return err
		}
		r, ok := b.scope.register(name)
		if !ok || b.function.Registers[r].Type != "pred" {
			return b.errorf("guard %s is not a predicate register", quote(name))
		}
		in.Guard = r
	}
	t := b.peek()
	if t.kind != tokenWord || t.text[0] == '.' || t.text[0] == '%' {
		return b.errorf("found %s, want an instruction", quote(t.text))
	}
	b.next()
	parts := strings.Split(t.text, ".")
	in.Opcode, in.Modifiers = parts[0], parts[1:]
	for b.peek().text != ";" {
		o, err := b.parseOperand(len(in.Operands), 0)
		if err != nil {
			return err
		}
		in.Operands = append(in.Operands, o)
		if !b.accept(",") && b.peek().text != ";" {
			return b.errorf("found %s, want , or ;", quote(b.peek().text))
		}
	}
	end := b.next()
	in.Text = strings.Join(strings.Fields(b.src[start.start:end.start]), " ")
	b.function.Instructions = append(b.function.Instructions, in)
	return nil
}

// parseOperand parses one operand. index is its index in the instruction, for closeScope if it names a label.
func (b *body) parseOperand(index, depth int) (Operand, error) {
	if depth > 3 {
		return Operand{}, b.errorf("operand nested too deeply")
	}
	t := b.peek()
	switch {
	case t.text == "{" || t.text == "(":
		b.next()
		kind, end := VectorOperand, "}"
		if t.text == "(" {
			kind, end = TupleOperand, ")"
		}
		list, err := b.parseList(end, depth)
		return Operand{Kind: kind, List: list}, err
	case t.text == "[":
		b.next()
		base, err := b.parseOperand(-1, depth+1)
		if err != nil {
			return base, err
		}
		a := Operand{Kind: AddressOperand, List: []Operand{base}}
		if base.Kind == SymbolOperand {
			a.Offset, a.List[0].Offset = base.Offset, 0
		} else if a.Offset, err = b.parseOffset(); err != nil {
			return a, err
		}
		if b.accept(",") {
			more, err := b.parseList("]", depth)
			a.List = append(a.List, more...)
			return a, err
		}
		return a, b.expect("]")
	case t.text == "!":
		b.next()
		o, err := b.parseOperand(-1, depth+1)
		if err == nil && o.Kind != RegisterOperand {
			err = b.errorf("! before something that is not a register")
		}
		o.Not = true
		return o, err
	case t.kind == tokenNumber || t.text == "-":
		return b.parseNumber()
	case t.kind == tokenWord:
		return b.parseName(index, depth)
	}
	return Operand{}, b.errorf("found %s, want an operand", quote(t.text))
}

func (b *body) parseList(end string, depth int) ([]Operand, error) {
	var list []Operand
	for !b.accept(end) {
		o, err := b.parseOperand(-1, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, o)
		if !b.accept(",") && b.peek().text != end {
			return nil, b.errorf("found %s, want , or %s", quote(b.peek().text), end)
		}
	}
	return list, nil
}

func (b *body) parseName(index, depth int) (Operand, error) {
	t := b.next()
	if t.text == "_" {
		return b.parsePair(Operand{Kind: SinkOperand}, depth)
	}
	if r, ok := b.scope.register(t.text); ok {
		return b.parsePair(Operand{Kind: RegisterOperand, Register: r}, depth)
	}
	v := b.scope.variable(t.text)
	if v == nil {
		v = b.names[t.text]
	}
	if v != nil {
		o := Operand{Kind: SymbolOperand, Variable: v}
		var err error
		o.Offset, err = b.parseOffset()
		return o, err
	}
	if t.text[0] == '%' {
		return Operand{Kind: SpecialOperand, Name: t.text}, nil
	}
	if index < 0 {
		return Operand{}, &SyntaxError{t.line, quote(t.text) + " is not declared"}
	}
	b.scope.uses = append(b.scope.uses, labelUse{t.text, len(b.function.Instructions), index, t.line})
	return Operand{Kind: LabelOperand, Target: -1}, nil
}

// parsePair parses the "|b" of "a|b".
func (b *body) parsePair(first Operand, depth int) (Operand, error) {
	if !b.accept("|") {
		return first, nil
	}
	second, err := b.parseOperand(-1, depth+1)
	return Operand{Kind: PairOperand, List: []Operand{first, second}}, err
}
