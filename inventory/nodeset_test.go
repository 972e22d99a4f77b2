package inventory

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
)

type nodesetVectors struct {
	FoldExpand []struct {
		In, Fold string
		Count    int
		Expand   []string
	} `json:"fold_expand"`
	Ops []struct {
		A, B, Union, Inter, Diff string
	}
	Slice []struct{ In, Slice, Out string }
	Split []struct {
		In  string
		N   int
		Out []string
	}
	Contiguous []struct {
		In  string
		Out []string
	}
	Rangeset []struct {
		In, Fold string
		List     []string
		Len      int
	}
	Wildcard []struct{ In, Out string }
	Errors   []struct {
		In  string
		Err string
		Ok  *string
	}
}

func loadNodeset(t testing.TB) nodesetVectors {
	t.Helper()
	var v nodesetVectors
	readJSON(t, "testdata/nodeset.json", &v)
	if len(v.FoldExpand) < 70 || len(v.Errors) < 30 {
		t.Fatal("the vectors are not complete")
	}
	return v
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		t.Fatal(path, err)
	}
}

// departures are the vectors that we answer otherwise, on purpose.
var departures = map[string]string{
	"n[1-5]!n[2-3],n2": "n[1,4-5]", // ! comes last, wherever it is written
	"n[1-4]&n[3-6],n9": "n[3-4]",   // so does &
}

func TestExpandGolden(t *testing.T) {
	for _, c := range loadNodeset(t).FoldExpand {
		if strings.ContainsAny(c.In, "@^") { // groups need an inventory, ^ is not offered
			if _, err := Expand(c.In); err == nil {
				t.Errorf("Expand(%q) accepts what needs an inventory", c.In)
			}
			continue
		}
		got, err := Expand(c.In)
		if err != nil {
			t.Errorf("Expand(%q): %v", c.In, err)
			continue
		}
		if ours, ok := departures[c.In]; ok {
			if Fold(got) != ours {
				t.Errorf("Expand(%q) folds to %s, want %s", c.In, Fold(got), ours)
			}
			continue
		}
		if len(got) != c.Count || Fold(got) != c.Fold {
			t.Errorf("Expand(%q) is %d names, %s; want %d, %s", c.In, len(got), Fold(got), c.Count, c.Fold)
		}
		if want := c.Expand; !slices.Contains(want, "...") && !reflect.DeepEqual(got, want) {
			t.Errorf("Expand(%q) = %v, want %v", c.In, got, want)
		}
	}
}

func TestExpandOps(t *testing.T) {
	for _, c := range loadNodeset(t).Ops {
		if strings.ContainsAny(c.A+c.B, "@") {
			continue
		}
		b := strings.ReplaceAll(c.B, ",", ",!")
		check := func(set, want string) {
			t.Helper()
			got, err := Expand(set)
			if err != nil || Fold(got) != want {
				t.Errorf("Expand(%q) = %s, %v; want %s", set, Fold(got), err, want)
			}
		}
		check(c.A+","+c.B, c.Union)
		check(c.A+",!"+b, c.Diff)
		if !strings.Contains(c.B, ",") {
			check(c.A+"&"+c.B, c.Inter)
		}
	}
}

func TestCarveGolden(t *testing.T) {
	v := loadNodeset(t)
	if len(v.Slice) == 0 || len(v.Split) == 0 || len(v.Contiguous) == 0 {
		t.Fatal("the vectors are not complete")
	}
	expand := func(set string) []string {
		set = strings.ReplaceAll(set, "@dut", "dut[01-24]") // the group of the vectors
		names, err := Expand(set)
		if err != nil {
			t.Error(err)
		}
		return names
	}
	for _, c := range v.Slice {
		if got, err := Slice(expand(c.In), c.Slice); err != nil || Fold(got) != c.Out {
			t.Errorf("%s of %s is %s, %v; want %s", c.Slice, c.In, Fold(got), err, c.Out)
		}
	}
	for _, c := range v.Split {
		parts, err := Split(expand(c.In), c.N)
		var got []string
		for _, p := range parts {
			got = append(got, Fold(p))
		}
		if err != nil || !slices.Equal(got, c.Out) {
			t.Errorf("%s in %d parts is %v, %v; want %v", c.In, c.N, got, err, c.Out)
		}
	}
	for _, c := range v.Contiguous {
		if got := Contiguous(expand(c.In)); !slices.Equal(got, c.Out) {
			t.Errorf("%s without gaps is %v, want %v", c.In, got, c.Out)
		}
	}
}

func TestCarveRefuses(t *testing.T) {
	for _, places := range []string{"", "9", "2-1", "-1", "a", "1,,2", "0-3/0", "99999999999999999999"} {
		if got, err := Slice([]string{"a", "b"}, places); err == nil {
			t.Errorf("%q selects %v", places, got)
		}
	}
	if got, err := Slice([]string{"a", "b"}, "1-999999999999"); err != nil || !slices.Equal(got, []string{"b"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, n := range []int{0, -1} {
		if _, err := Split([]string{"a"}, n); err == nil {
			t.Errorf("%d parts are no error", n)
		}
	}
}

func TestRangesGolden(t *testing.T) {
	for _, c := range loadNodeset(t).Rangeset {
		got, err := Expand("n[" + c.In + "]")
		if err != nil {
			t.Errorf("n[%s]: %v", c.In, err)
			continue
		}
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], "n")
		}
		if !reflect.DeepEqual(got, c.List) || len(got) != c.Len {
			t.Errorf("n[%s] = %v, want %v", c.In, got, c.List)
		}
	}
}

// What ClusterShell refuses we refuse, with the column; what it takes in
// silence (an empty set, a negative number) we refuse too.
func TestExpandErrorsGolden(t *testing.T) {
	taken := map[string]bool{"n1 & n2": true, "%d": true, "n%s": true}
	for _, c := range loadNodeset(t).Errors {
		got, err := Expand(c.In)
		if taken[c.In] {
			if err != nil || Fold(got) != *c.Ok {
				t.Errorf("Expand(%q) = %v, %v; want %q", c.In, got, err, *c.Ok)
			}
			continue
		}
		var te *TargetError
		if !errors.As(err, &te) {
			t.Errorf("Expand(%q) = %v, %v; want an error with a column", c.In, got, err)
			continue
		}
		if te.Message == "" || te.Fix == "" || te.Column == 0 && strings.TrimSpace(c.In) != "" {
			t.Errorf("Expand(%q): %+v lacks a column, message or fix", c.In, te)
		}
	}
}

// Digits that touch a range are refused where a person and ClusterShell would read them otherwise.
func TestDigitsBesideRanges(t *testing.T) {
	for set, want := range map[string]string{
		"n1[08-12]": "n[108-112]", "n[8-11]0": "n[80,90,100,110]", "n1[8,12]": "n[18,112]", "n0[1-9]": "n[01-09]", "r[1-2]0[1-8]": "r[101-108,201-208]",
		"n1[8-12]": "", "n0[1-10]": "", "n[0-11]0": "", "n[5-5/1]0": "", "r[1-2]0[9-10]": "",
	} {
		names, err := Expand(set)
		if Fold(names) != want || (err != nil) != (want == "") {
			t.Errorf("%s is %s, %v; want %s", set, Fold(names), err, want)
		}
	}
}

func TestExpandBound(t *testing.T) {
	for _, set := range []string{"n[1-999999999]", "n[1-1000]m[1-1000]o[1-1000]", "n[1-600000],m[1-600000]", "n[1-99999999999999999999]", "a[0-9]b[0-9]c[0-9]d[0-9]e[0-9]f[0-9]g[0-9]"} {
		allocs := testing.AllocsPerRun(1, func() {
			if _, err := Expand(set); err == nil {
				t.Errorf("Expand(%q) is accepted", set)
			}
		})
		if allocs > 200 {
			t.Errorf("Expand(%q) makes %v allocations before it refuses", set, allocs)
		}
	}
}

func TestFoldKeepsNames(t *testing.T) {
	odd := []string{"", "a", "n%s", "n1", "n01", "n001", "123456789012345678901234", "n123456789012345678901", "x-9-y", "x-09-y", "9", "10", "009"}
	got := map[string]bool{}
	for _, f := range foldAll(odd) {
		f.each(func(n string) { got[n] = true })
	}
	for _, n := range odd {
		if !got[n] {
			t.Errorf("%q is lost", n)
		}
	}
	if len(got) != len(odd) {
		t.Errorf("%d names from %d", len(got), len(odd))
	}
}

func TestFoldDoesNotTouchItsInput(t *testing.T) {
	in := []string{"b2", "b1", "a9", "a10"}
	want := slices.Clone(in)
	Fold(in)
	if !reflect.DeepEqual(in, want) {
		t.Errorf("the names became %v", in)
	}
	sort.Strings(in)
}
