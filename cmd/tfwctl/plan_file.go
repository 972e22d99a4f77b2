package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"tfw/api"
	"tfw/inventory"
	testplan "tfw/plan"
)

// maxPlanFiles bounds how many plans are sent along for one that uses them.
const maxPlanFiles = 200

// readPlan reads a plan, the plans it uses, and the parameters as the plan declares them.
func (a *app) readPlan(file string, words []string) (testplan.Submission, error) {
	text, err := a.readPlanText(file)
	if err != nil {
		return testplan.Submission{}, usageError{err.Error()}
	}
	s := testplan.Submission{File: file, Plan: string(text)}
	parsed, err := testplan.Parse(file, text)
	if err != nil {
		if len(text) > testplan.MaxFile { // it would not even be sent
			var wrong testplan.Problems
			errors.As(err, &wrong)
			return s, a.printFaults(file, wrong)
		}
		parsed = &testplan.Plan{} // all faults are told at once, by the check
	}
	if s.Files, err = readUsed(filepath.Dir(file), parsed); err != nil {
		return s, err
	}
	s.Parameters, err = planParams(parsed, words)
	return s, err
}

// readPlanText reads a file, or standard input for "-", up to what makes a plan too large.
func (a *app) readPlanText(file string) ([]byte, error) {
	f := a.in
	if file != "-" {
		var err error
		if f, err = os.Open(file); err != nil {
			return nil, err
		}
		defer f.Close()
	}
	return io.ReadAll(io.LimitReader(f, testplan.MaxFile+1))
}

// readUsed reads the plans that a plan uses, and those that they use: relative to
// the first one's directory. What is not there is left for the check to tell, with its place.
func readUsed(dir string, top *testplan.Plan) (map[string]string, error) {
	files := map[string]string{}
	for todo := top.Files(); len(todo) > 0; todo = todo[1:] {
		name := todo[0]
		if _, have := files[name]; have || filepath.IsAbs(name) {
			continue
		}
		if len(files) == maxPlanFiles {
			return nil, usageError{fmt.Sprintf("the plan uses more than %d others", maxPlanFiles)}
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, usageError{err.Error()}
		}
		files[name] = string(text)
		if inner, err := testplan.Parse(name, text); err == nil {
			todo = append(todo, inner.Files()...)
		}
	}
	return files, nil
}

// planParams reads name=value as the type that the plan gives the name, and name:=json.
func planParams(p *testplan.Plan, words []string) (map[string]any, error) {
	types := map[string]string{}
	for _, q := range p.Parameters {
		types[q.Name] = q.Type
	}
	params := map[string]any{}
	for _, word := range words {
		name, text, ok := strings.Cut(word, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Sprintf("-p %q: want name=value or name:=json", word)}
		}
		var value any
		var err error
		if bare, isJSON := strings.CutSuffix(name, ":"); isJSON {
			name, err = bare, json.Unmarshal([]byte(text), &value)
		} else {
			value, err = paramOf(types[name], text)
		}
		if err != nil {
			return nil, usageError{fmt.Sprintf("-p %s: %v", name, err)}
		}
		if _, twice := params[name]; twice {
			return nil, usageError{fmt.Sprintf("-p %s: is given twice", name)}
		}
		params[name] = value
	}
	return params, nil
}

func paramOf(kind, text string) (any, error) {
	switch kind {
	case "integer", "number":
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("%q: want a number", text)
		}
		return n, nil
	case "boolean":
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("%q: want true or false", text)
		}
		return text == "true", nil
	case "list", "map":
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			return nil, fmt.Errorf("want JSON, such as %s", map[string]string{"list": `["a","b"]`, "map": `{"a":1}`}[kind])
		}
		return v, nil
	}
	return text, nil
}

// planFaults shows the faults of a plan with their lines, where err holds them.
func (a *app) planFaults(s testplan.Submission, err error) error {
	var p *api.Problem
	if err == nil || !errors.As(err, &p) || len(p.Errors) == 0 {
		return err
	}
	wrong := testplan.Problems{}
	for _, e := range p.Errors {
		one, ok := placeOf(s, e)
		if !ok {
			return err // it is not about the plan's text
		}
		wrong = append(wrong, one)
	}
	return a.printFaults(s.File, wrong)
}

// printFaults shows faults, and gives the error that ends the program.
func (a *app) printFaults(file string, wrong testplan.Problems) error {
	if a.setting.output.value != "table" {
		if err := a.emit(wrong, nil); err != nil {
			return err
		}
	} else if err := wrong.Print(a.err); err != nil {
		return err
	}
	return usageError{fmt.Sprintf("%s: %s", file, counted(len(wrong), "fault"))}
}

// placeOf finds the line that FILE:LINE:COLUMN means in what was sent.
func placeOf(s testplan.Submission, e api.ProblemError) (testplan.Problem, bool) {
	one := testplan.Problem{Message: e.Message, Fix: e.Fix, Severity: inventory.SeverityError}
	texts := map[string]string{s.File: s.Plan}
	for name, text := range s.Files {
		texts[name] = text
	}
	if _, whole := texts[e.Location]; whole {
		one.File = e.Location
		return one, true
	}
	parts := strings.Split(e.Location, ":")
	if len(parts) < 3 {
		return one, false
	}
	line, errLine := strconv.Atoi(parts[len(parts)-2])
	column, errColumn := strconv.Atoi(parts[len(parts)-1])
	one.File = strings.Join(parts[:len(parts)-2], ":")
	text, known := texts[one.File]
	if errLine != nil || errColumn != nil || !known {
		return one, false
	}
	one.Line, one.Column = line, column
	if lines := strings.Split(text, "\n"); line > 0 && line <= len(lines) {
		one.Text = lines[line-1]
	}
	return one, true
}
