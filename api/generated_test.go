package api_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tfw/executor/executortest"
)

// TestGeneratedClient lets a generator of another language read the API's
// description, compiles what it wrote together with a program that uses every operation, and runs that
// against a tfwd of its own. It needs a folder outside of the module with the node_modules of
// testdata/generated/package.json; .ci/run makes one:
//
//	cp api/testdata/generated/package*.json DIR && npm ci --prefix DIR && TFWGENERATED=DIR go test -run TestGeneratedClient -v ./api
func TestGeneratedClient(t *testing.T) {
	dir := os.Getenv("TFWGENERATED")
	if dir == "" {
		t.Skip("set TFWGENERATED to a folder with node_modules to run it")
	}
	lab, err := executortest.NewLab(t.Context(), executortest.LabOptions{Hosts: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer lab.Close()
	d := startLoaded(t, lab.InventoryFile())
	defer d.stop(t)
	work, err := os.MkdirTemp(dir, "generated-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(work)
	program, err := os.ReadFile("testdata/generated/drive.ts")
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(d.url + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	document, err := os.Create(filepath.Join(work, "openapi.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := document.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	document.Close()
	const settings = `{"compilerOptions": {"strict": true, "target": "es2022", "module": "es2022", "moduleResolution": "bundler", "noEmit": true, "types": [],
		"lib": ["es2023", "dom", "dom.iterable"]}, "include": ["client/**/*.ts", "drive.ts"]}`
	for name, content := range map[string]string{"drive.ts": string(program), "tsconfig.json": settings} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tool := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "node_modules", ".bin", name), args...)
		cmd.Dir, cmd.WaitDelay = work, time.Second
		from := time.Now()
		out, err := cmd.CombinedOutput()
		t.Logf("%s took %v", name, time.Since(from).Round(time.Millisecond))
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	if said := tool("openapi-ts", "-i", "openapi.json", "-o", "client"); strings.Contains(strings.ToLower(said), "warn") {
		t.Errorf("the generator warns: %s", said)
	}
	functions, err := os.ReadFile(filepath.Join(work, "client", "sdk.gen.ts"))
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`(?m)^export const (\w+) =`).FindAllSubmatch(functions, -1)
	for _, match := range all {
		if !strings.Contains(string(program), "tfw."+string(match[1])+"(") {
			t.Errorf("drive.ts does not use %s", match[1])
		}
	}
	t.Logf("%d operations", len(all))
	tool("tsc", "-p", ".")
	if said := tool("jiti", "drive.ts", d.url, d.token); !strings.Contains(said, "driven") {
		t.Error(said)
	}
}
