package plugins

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// sources are the reports that a test is to write.
type sources struct {
	stdout bool
	files  []reportFile
}

type reportFile struct{ format, path string }

func reportSources(specs []string) (sources, error) {
	var s sources
	for _, spec := range specs {
		format, path, ok := strings.Cut(spec, ":")
		switch {
		case spec == "tap:-":
			s.stdout = true
		case !ok || path == "" || path == "-" || (format != "junit" && format != "tap"):
			return s, ParameterError{Location: "parameters.report", Message: "want junit:PATH, tap:PATH or tap:-"}
		default:
			s.files = append(s.files, reportFile{format, path})
		}
	}
	return s, nil
}

// removeReports removes what an earlier test may have left: an old report must
// never be taken for this test's.
func removeReports(ctx context.Context, remote Remote, p testParams, s sources) error {
	if len(s.files) == 0 {
		return nil
	}
	argv := []string{"remove"}
	for _, f := range s.files {
		argv = append(argv, f.path)
	}
	r, err := remote.Run(ctx, Command{
		Script: []byte("IFS=\nfor p do rm -f -- $p || exit 1; done\n"), Argv: argv,
		Cwd: p.Cwd, Become: p.Become.Become(), Quiet: true,
	})
	if err != nil {
		return err
	}
	if r.Failure() != nil {
		return Failed("old reports could not be removed: %s", lastLine(r.Stderr, "rm did not say why"))
	}
	return nil
}

// read adds the rows of the report files. It gives what was missing or broken;
// an error means that the host could not be asked.
func (s sources) read(ctx context.Context, remote Remote, p testParams, rows *report) (missing []string, err error) {
	for _, f := range s.files {
		err := f.read(ctx, remote, p, rows)
		if _, failed := errors.AsType[*FailedError](err); failed {
			missing = append(missing, fmt.Sprintf("report %s: %s", cleanLine(f.path, 200), cleanLine(err.Error(), 300)))
			rows.problem(missing[len(missing)-1])
		} else if err != nil {
			return missing, err
		}
	}
	return missing, nil
}

// maxReportFiles bounds how many files one glob may bring.
const maxReportFiles = 200

func (f reportFile) read(ctx context.Context, remote Remote, p testParams, rows *report) error {
	_, files, _, err := find(ctx, remote, p.Cwd, []string{f.path}, maxReportFiles, p.Become.Become())
	switch {
	case err != nil:
		return err
	case len(files) == 0:
		return Failed("was not written")
	case len(files) > maxReportFiles:
		return Failed("more than %d files match", maxReportFiles)
	}
	for _, file := range files {
		if file.bytes > maxReport {
			return Failed("%s is over %d MiB", printable(file.name), maxReport>>20)
		}
		r, err := remote.Run(ctx, Command{
			Argv: []string{"cat", "--", file.name}, Cwd: p.Cwd, Become: p.Become.Become(), Quiet: true, Capture: maxReport,
		})
		if err != nil {
			return err
		}
		if r.Failure() != nil {
			return Failed("%s", lastLine(r.Stderr, "cannot be read"))
		}
		if err := rows.parse(f.format, r.Stdout); err != nil {
			return Failed("%v", err)
		}
	}
	return nil
}

func (r *report) parse(format string, content []byte) error {
	if format == "tap" {
		r.take(parseTAP(content))
		return nil
	}
	parsed, err := parseJUnit(content)
	r.take(parsed)
	return err
}
